// The journal: a file with a line of JSON for each change. It survives a crash, and at the next
// start the tables are built from it. Only one server may use a journal.
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';

export class Journal {
  #file;
  #size; // bytes of whole lines
  #lastChange = Promise.resolve();

  constructor(file, entries, size) {
    this.#file = file;
    this.entries = entries;
    this.#size = size;
  }

  /** Open a journal, or make an empty one. */
  static async open(path) {
    const file = await open(path, constants.O_RDWR | constants.O_CREAT);
    const { entries, size } = readEntries(await file.readFile());
    await file.truncate(size);
    return new Journal(file, entries, size);
  }

  /** Run this change after all earlier ones have ended; return its result. */
  inTurn(change) {
    const result = this.#lastChange.then(change);
    this.#lastChange = result.catch(() => {}); // a failed change does not stop the next one
    return result;
  }

  /** Write an entry, and return when it is on the disk. */
  async append(entry) {
    const line = Buffer.from(`${JSON.stringify(entry)}\n`);
    try {
      const { bytesWritten } = await this.#file.write(line, 0, line.length, this.#size);
      if (bytesWritten < line.length) throw new Error('The disk is full');
      await this.#file.datasync(); // until now a power cut could lose the line
    } catch (error) {
      await this.#file.truncate(this.#size);
      throw error;
    }
    this.#size += line.length;
  }
}

/** Return the entries of a journal, and the size of its whole lines: a crash can cut the last one. */
function readEntries(content) {
  const size = content.lastIndexOf('\n') + 1;
  const lines = content.toString('utf8', 0, size).split('\n').slice(0, -1);
  return { entries: lines.map((line) => JSON.parse(line)), size };
}
