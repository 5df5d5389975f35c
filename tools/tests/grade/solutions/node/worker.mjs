// What runs in a worker thread. See pool.mjs.
import { parentPort } from 'node:worker_threads';
import { hashPassword, verifyPassword } from './bcrypt.mjs';
import { inspectImage, Refused } from './images.mjs';
import { analyse } from './textstats.mjs';

const tasks = {
  hash: ({ password, cost }) => hashPassword(password, cost),
  verify: ({ password, hash }) => verifyPassword(password, hash),
  image: ({ bytes }) => inspectImage(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)),
  analyse: ({ text }) => analyse(text, (progress) => parentPort.postMessage({ progress })),
};

parentPort.on('message', async ({ name, argument }) => {
  try {
    parentPort.postMessage({ result: await tasks[name](argument) });
  } catch (error) {
    if (!(error instanceof Refused)) throw error; // a bug: the thread dies and the pool says so
    parentPort.postMessage({ refused: error.message });
  }
});
