// A few worker threads for what would otherwise block everybody: bcrypt, pictures, counting words.
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';

const SCRIPT = new URL('./worker.mjs', import.meta.url);

export class WorkerDied extends Error {}
export class PoolFull extends Error {}

export class Pool {
  #size;
  #maxQueue;
  #timeout;
  #idle = [];
  #all = new Set();
  #queue = [];
  #closed = false;

  constructor({ size = Math.max(1, Math.min(2, availableParallelism())), maxQueue = Infinity, timeout = 60_000 } = {}) {
    this.#size = size;
    this.#maxQueue = maxQueue;
    this.#timeout = timeout;
  }

  /** Runs `worker.mjs`'s function `name`; an error it threw on purpose comes back with its message. */
  run(name, argument, { transfer = [], onProgress } = {}) {
    if (this.#closed) return Promise.reject(new WorkerDied('the server is stopping'));
    if (this.#queue.length >= this.#maxQueue) return Promise.reject(new PoolFull());
    return new Promise((resolve, reject) => {
      this.#queue.push({ message: { name, argument }, transfer, onProgress, resolve, reject });
      this.#next();
    });
  }

  #next() {
    while (this.#queue.length > 0 && !this.#closed) {
      const worker = this.#idle.pop() ?? (this.#all.size < this.#size ? this.#start() : null);
      if (!worker) return;
      const task = this.#queue.shift();
      worker.task = task;
      worker.timer = setTimeout(() => worker.terminate(), this.#timeout);
      worker.postMessage(task.message, task.transfer);
    }
  }

  #start() {
    const worker = new Worker(SCRIPT, { resourceLimits: { maxOldGenerationSizeMb: 512 } });
    this.#all.add(worker);
    const finish = (settle) => {
      clearTimeout(worker.timer);
      const task = worker.task;
      worker.task = null;
      if (task) settle(task);
    };
    worker.on('message', (answer) => {
      if (answer.progress !== undefined) {
        worker.task?.onProgress?.(answer.progress);
        return;
      }
      finish((task) => (answer.refused === undefined ? task.resolve(answer.result) : task.reject(new Error(answer.refused))));
      this.#idle.push(worker);
      this.#next();
    });
    worker.on('error', () => {}); // 'exit' follows
    worker.on('exit', () => {
      this.#all.delete(worker);
      this.#idle = this.#idle.filter((other) => other !== worker);
      finish((task) => task.reject(new WorkerDied('the worker died')));
      this.#next();
    });
    return worker;
  }

  async close() {
    this.#closed = true;
    for (const task of this.#queue.splice(0)) task.reject(new WorkerDied('the server is stopping'));
    await Promise.all([...this.#all].map((worker) => worker.terminate()));
  }
}
