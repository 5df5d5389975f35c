// Stage 1: todos. From stage 3 on each belongs to its owner.
import { created, json, noContent, notFound } from './http.mjs';
import { boolean, booleanWord, checked, fieldsOf, nullable, string } from './validation.mjs';
import { now, page, time } from './common.mjs';

const FIELDS = {
  title: { check: string({ trim: true, min: 1, max: 200 }), required: true },
  description: { check: nullable(string({ max: 2000 })), fallback: null },
  completed: { check: boolean(), fallback: false },
};

const wire = ({ id, title, description, completed, created_at, updated_at }) => ({
  id, title, description, completed, created_at: time(created_at), updated_at: time(updated_at),
});

export function todos(app, { store, settings }) {
  const access = settings.stage >= 3 ? 'user' : 'open';
  const byOwner = store.tables.todos.groupBy(({ owner }) => owner);
  const ownerOf = (context) => (access === 'open' ? null : context.user.id);
  const find = (context) => {
    const todo = store.tables.todos.get(context.id);
    if (!todo || todo.owner !== ownerOf(context)) throw notFound('There is no such todo');
    return todo;
  };
  const update = (todo, changes) => store.put('todos', { ...todo, ...changes, updated_at: Math.max(todo.updated_at, now()) });

  app.route('GET', '/todos', access, (context) => {
    const { limit, offset } = page(context, 100);
    const word = context.query('completed');
    const completed = word === undefined ? undefined : checked(['query', 'completed'], word, booleanWord());
    const rows = [...byOwner.get(ownerOf(context)).values()].filter((todo) => completed === undefined || todo.completed === completed);
    return json(rows.slice(offset, offset + limit).map(wire));
  });

  app.route('POST', '/todos', access, async (context) => {
    const fields = fieldsOf(await context.json(), FIELDS);
    const at = now();
    const todo = store.put('todos', { id: store.nextId('todos'), owner: ownerOf(context), ...fields, created_at: at, updated_at: at });
    return created(wire(todo), `/todos/${todo.id}`);
  });

  app.route('GET', '/todos/{int}', access, (context) => json(wire(find(context))));

  app.route('PUT', '/todos/{int}', access, async (context) => {
    find(context); // before what was sent is judged…
    const body = await context.json();
    return json(wire(update(find(context), fieldsOf(body, FIELDS)))); // …and still there after it has come
  });

  app.route('PATCH', '/todos/{int}', access, async (context) => {
    find(context);
    const body = await context.json();
    const todo = find(context);
    const changes = fieldsOf(body, FIELDS, { partial: true });
    return json(wire(Object.keys(changes).length > 0 ? update(todo, changes) : todo));
  });

  app.route('DELETE', '/todos/{int}', access, (context) => {
    store.delete('todos', find(context).id);
    return noContent();
  });
}
