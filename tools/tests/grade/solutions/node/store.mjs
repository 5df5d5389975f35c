// Tables in memory, made durable by an append-only journal.
//
// Every change is one line `checksum json\n`, where json is a list of operations that hold together:
// ["put", table, row], ["del", table, id] or ["last", table, id]. A change is in memory at once (so
// that checks and changes are never interleaved) and on disk after fdatasync; `durable()` resolves
// when everything up to now is on disk. The server awaits it before any answer leaves, reads
// included, so nobody is ever shown something that a crash could take back.
import { createHash } from 'node:crypto';
import { constants, closeSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs';
import { mkdir, open } from 'node:fs/promises';
import { dirname } from 'node:path';

const checksum = (json) => createHash('sha1').update(json).digest('hex').slice(0, 8);
const line = (operations) => {
  const json = JSON.stringify(operations);
  return Buffer.from(`${checksum(json)} ${json}\n`, 'utf8');
};

/** Rows by id in the order they came, plus groups of them ("all todos of owner 7"). */
class Table {
  rows = new Map();
  lastId = 0;
  #groups = [];

  /** An index: `get(key)` → the rows of that key as a Map by id, in the order they came. */
  groupBy(keyOf) {
    const groups = new Map();
    this.#groups.push({ keyOf, groups });
    const none = new Map();
    return { get: (key) => groups.get(key) ?? none };
  }

  get(id) {
    return this.rows.get(id);
  }

  put(row) {
    const old = this.rows.get(row.id);
    this.rows.set(row.id, row);
    if (typeof row.id === 'number' && row.id > this.lastId) this.lastId = row.id;
    for (const { keyOf, groups } of this.#groups) {
      const key = keyOf(row);
      if (old && keyOf(old) !== key) groups.get(keyOf(old))?.delete(row.id);
      if (key === undefined) continue;
      if (!groups.has(key)) groups.set(key, new Map());
      groups.get(key).set(row.id, row);
    }
  }

  delete(id) {
    const old = this.rows.get(id);
    if (!old) return;
    this.rows.delete(id);
    for (const { keyOf, groups } of this.#groups) {
      const group = groups.get(keyOf(old));
      group?.delete(id);
      if (group?.size === 0) groups.delete(keyOf(old));
    }
  }
}

export class Store {
  #file = null; // FileHandle, or null: memory only
  #size = 0; // bytes that are known to be good
  #queue = []; // lines not yet written
  #appended = 0;
  #flushed = 0;
  #waiting = []; // {upTo, resolve, reject}
  #flushing = false;
  #onError;

  constructor(tableNames, onError = () => {}) {
    this.tables = Object.fromEntries(tableNames.map((name) => [name, new Table()]));
    this.#onError = onError;
  }

  /** Reads the journal (making it when it is not there). Call it after every `groupBy`. */
  async open(path) {
    await mkdir(dirname(path), { recursive: true });
    let lines = 0;
    try {
      lines = this.#load(readFileSync(path), path);
    } catch (error) {
      if (error.code !== 'ENOENT') throw error;
    }
    const live = Object.values(this.tables).reduce((sum, table) => sum + table.rows.size, 0);
    if (lines > 1000 && lines > 2 * live) this.#compact(path);
    this.#file = await open(path, constants.O_RDWR | constants.O_CREAT, 0o600);
    await this.#file.truncate(this.#size); // a line torn by a crash was never acknowledged
    await this.#file.sync();
    syncDirectory(dirname(path));
  }

  #load(data, path) {
    let at = 0;
    let count = 0;
    while (at < data.length) {
      const end = data.indexOf(10, at);
      const operations = end < 0 ? null : decode(data.subarray(at, end));
      if (!operations) {
        // Only the very tail may be torn. Damage in the middle is not repaired by forgetting the rest.
        const next = end < 0 ? -1 : data.subarray(end + 1).indexOf(10);
        if (next >= 0 && anyGoodLine(data.subarray(end + 1))) {
          throw new Error(`${path} is damaged at byte ${at}; refusing to drop what follows`);
        }
        break;
      }
      this.#apply(operations);
      at = end + 1;
      count++;
    }
    this.#size = at;
    return count;
  }

  /** Rewrites the journal as what is there now; the rename is what makes it count. */
  #compact(path) {
    const fd = openSync(`${path}.new`, 'w', 0o600);
    let size = 0;
    for (const [name, table] of Object.entries(this.tables)) {
      for (const operations of [...[...table.rows.values()].map((row) => [['put', name, row]]), [['last', name, table.lastId]]]) {
        const bytes = line(operations);
        for (let done = 0; done < bytes.length; ) done += writeSync(fd, bytes, done);
        size += bytes.length;
      }
    }
    fsyncSync(fd);
    closeSync(fd);
    renameSync(`${path}.new`, path);
    this.#size = size;
  }

  #apply(operations) {
    for (const [verb, name, value] of operations) {
      const table = this.tables[name];
      if (!table) throw new Error(`the journal names an unknown table: ${name}`);
      if (verb === 'put') table.put(value);
      else if (verb === 'del') table.delete(value);
      else if (verb === 'last') table.lastId = Math.max(table.lastId, value);
    }
  }

  /** The next integer id of a table; one that was given out is never given out again. */
  nextId(name) {
    return this.tables[name].lastId + 1;
  }

  /** Applies the operations now, as one change, and queues them for the disk. */
  commit(...operations) {
    this.#apply(operations);
    if (!this.#file) return;
    this.#queue.push(line(operations));
    this.#appended++;
    if (!this.#flushing) {
      this.#flushing = true;
      setImmediate(() => this.#flush()); // changes of the same moment share one fdatasync
    }
  }

  put(name, row) {
    this.commit(['put', name, row]);
    return row;
  }

  delete(name, id) {
    this.commit(['del', name, id]);
  }

  durable() {
    if (!this.#file || this.#flushed === this.#appended) return Promise.resolve();
    return new Promise((resolve, reject) => this.#waiting.push({ upTo: this.#appended, resolve, reject }));
  }

  async #flush() {
    while (this.#queue.length > 0) {
      const batch = this.#queue;
      this.#queue = [];
      const bytes = Buffer.concat(batch);
      try {
        for (let done = 0; done < bytes.length; ) {
          const { bytesWritten } = await this.#file.write(bytes, done, bytes.length - done, this.#size + done);
          done += bytesWritten;
        }
        await this.#file.datasync();
        this.#size += bytes.length;
        this.#flushed += batch.length;
        while (this.#waiting.length > 0 && this.#waiting[0].upTo <= this.#flushed) this.#waiting.shift().resolve();
      } catch (error) {
        // A full disk, say. What is in memory stays queued, in order; who waits is told; try again soon.
        this.#onError(error);
        await this.#file.truncate(this.#size).catch(() => {});
        this.#queue = [...batch, ...this.#queue];
        for (const { reject } of this.#waiting.splice(0)) reject(error);
        await new Promise((resolve) => setTimeout(resolve, 1000));
      }
    }
    this.#flushing = false;
  }

  async close() {
    await this.durable().catch(() => {});
    await this.#file?.close().catch(() => {});
    this.#file = null;
  }
}

function decode(bytes) {
  const json = bytes.subarray(9).toString('utf8');
  if (bytes[8] !== 32 || bytes.toString('latin1', 0, 8) !== checksum(json)) return null;
  try {
    return JSON.parse(json);
  } catch {
    return null;
  }
}

function anyGoodLine(data) {
  for (let at = 0, end; (end = data.indexOf(10, at)) >= 0; at = end + 1) {
    if (decode(data.subarray(at, end))) return true;
  }
  return false;
}

export function syncDirectory(path) {
  const fd = openSync(path, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
