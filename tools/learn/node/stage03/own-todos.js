// The todos of one user. Handlers get this table only, so they cannot reach the todos of others.

export class OwnTodos {
  #todos;
  #owner;

  constructor(todos, owner) {
    this.#todos = todos;
    this.#owner = owner;
  }

  /** Return all todos of the owner, sorted by id. */
  list() {
    return this.#todos.list().filter((todo) => todo.owner_id === this.#owner.id);
  }

  /** Return a todo of the owner; undefined for an unknown one, and for that of somebody else. */
  get(id) {
    const todo = this.#todos.get(id);
    return todo?.owner_id === this.#owner.id ? todo : undefined;
  }

  /** Add a todo that belongs to the owner; return it. */
  async create(fields) {
    return this.#todos.create({ ...fields, owner_id: this.#owner.id });
  }

  /** Change some fields of a todo; return the new todo, or undefined if the owner has none. */
  async update(id, changes) {
    return this.get(id) && this.#todos.update(id, changes);
  }

  /** Remove a todo; return whether the owner had it. */
  async delete(id) {
    return this.get(id) !== undefined && this.#todos.delete(id);
  }
}
