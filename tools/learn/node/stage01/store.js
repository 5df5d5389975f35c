// The data: tables of rows in memory. A restart forgets them.

/** Rows by their ids. An id is never used again. */
export class Table {
  #rows = new Map(); // in the order of the ids, since a Map keeps the order of its first `set`
  #lastId = 0;

  /** Return all rows, sorted by id. */
  list() {
    return [...this.#rows.values()];
  }

  /** Return a row, or undefined. */
  get(id) {
    return this.#rows.get(id);
  }

  /** Add a row with these fields, a new id and its times; return it. */
  async create(fields) {
    const now = new Date().toISOString();
    this.#lastId += 1;
    const row = { id: this.#lastId, ...fields, created_at: now, updated_at: now };
    this.#rows.set(row.id, row);
    return row;
  }

  /** Change some fields of a row; return the new row, or undefined if there is none. */
  async update(id, changes) {
    const row = this.#rows.get(id);
    if (row === undefined) return undefined;
    const changed = { ...row, ...changes, updated_at: new Date().toISOString() };
    this.#rows.set(id, changed);
    return changed;
  }

  /** Remove a row; return whether it was there. */
  async delete(id) {
    return this.#rows.delete(id);
  }
}
