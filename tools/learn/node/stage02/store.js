// The data: tables of rows in memory, built from the journal. A change is in the journal before
// anybody can see it.

/** Rows by their ids. An id is never used again. */
export class Table {
  #journal;
  #name;
  #rows = new Map(); // in the order of the ids, since a Map keeps the order of its first `set`
  #lastId = 0;

  constructor(journal, name) {
    this.#journal = journal;
    this.#name = name;
    for (const { table, row } of journal.entries) if (table === name) this.#show(row);
  }

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
    return this.#journal.inTurn(async () => {
      const now = new Date().toISOString();
      return this.#write({ id: this.#lastId + 1, ...fields, created_at: now, updated_at: now });
    });
  }

  /** Change some fields of a row; return the new row, or undefined if there is none. */
  async update(id, changes) {
    return this.#journal.inTurn(async () => {
      const row = this.#rows.get(id);
      if (row === undefined) return undefined;
      return this.#write({ ...row, ...changes, updated_at: new Date().toISOString() });
    });
  }

  /** Remove a row; return whether it was there. */
  async delete(id) {
    return this.#journal.inTurn(async () => {
      if (!this.#rows.has(id)) return false;
      await this.#write({ id, deleted: true });
      return true;
    });
  }

  /** Write a row to the journal, then show it; return it. */
  async #write(row) {
    await this.#journal.append({ table: this.#name, row });
    this.#show(row);
    return row;
  }

  #show(row) {
    this.#lastId = Math.max(this.#lastId, row.id);
    if (row.deleted) this.#rows.delete(row.id);
    else this.#rows.set(row.id, row);
  }
}
