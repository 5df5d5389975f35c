// Stage 7: posts, comments, roles.
import { created, forbidden, HttpError, json, noContent, notFound, unauthorized } from './http.mjs';
import { booleanWord, checked, fieldsOf, oneOf, string } from './validation.mjs';
import { now, page, time } from './common.mjs';

const POST_FIELDS = {
  title: { check: string({ trim: true, min: 1, max: 200 }), required: true },
  body: { check: string({ min: 1, max: 100_000, blank: false }), required: true },
};
const COMMENT_FIELDS = { body: { check: string({ min: 1, max: 10_000, blank: false }), required: true } };
const ROLE_FIELDS = { role: { check: oneOf('user', 'author', 'admin'), required: true } };
const WRITERS = ['author', 'admin'];
const ADMINS = ['admin'];

export function blog(app, { store, users }) {
  const { posts, comments, users: accounts } = store.tables;
  const postsByAuthor = posts.groupBy(({ author }) => author);
  const commentsByPost = comments.groupBy(({ post_id }) => post_id);
  const livingByPost = comments.groupBy(({ post_id, deleted_at }) => (deleted_at === null ? post_id : undefined));

  const author = (id) => ({ id, username: accounts.get(id).username });
  const stamps = (row) => ({
    created_at: time(row.created_at),
    updated_at: time(row.updated_at),
    ...(row.deleted_at === null ? {} : { deleted_at: time(row.deleted_at) }),
  });
  const wirePost = (post) => ({
    id: post.id, title: post.title, body: post.body, author: author(post.author), comments_count: livingByPost.get(post.id).size, ...stamps(post),
  });
  const wireComment = (comment) => ({ id: comment.id, post_id: comment.post_id, body: comment.body, author: author(comment.author), ...stamps(comment) });

  /** `include_deleted=true`: only for admins; anybody else is told so. */
  const withDeleted = (context) => {
    const word = context.query('include_deleted');
    if (word === undefined || !checked(['query', 'include_deleted'], word, booleanWord())) return false;
    if (!context.user) throw unauthorized();
    if (context.user.role !== 'admin') throw forbidden();
    return true;
  };
  const livingPost = (id) => {
    const post = posts.get(id);
    if (!post || post.deleted_at !== null) throw notFound('There is no such post');
    return post;
  };
  const livingComment = (id) => {
    const comment = comments.get(id);
    if (!comment || comment.deleted_at !== null || posts.get(comment.post_id).deleted_at !== null) throw notFound('There is no such comment');
    return comment;
  };
  const mine = (context, row) => {
    if (row.author !== context.user.id && context.user.role !== 'admin') throw forbidden('Only its author or an admin may do this');
    return row;
  };
  const update = (name, row, changes) => (Object.keys(changes).length === 0 ? row : store.put(name, { ...row, ...changes, updated_at: Math.max(row.updated_at, now()) }));
  const softDelete = (name, row) => store.put(name, { ...row, deleted_at: Math.max(row.created_at, now()) });
  const restore = (name, row) => (row.deleted_at === null ? row : store.put(name, { ...row, deleted_at: null }));

  // ---------------------------------------------------------------- posts

  /** Digits alone are an id, unless no such id exists and a user has that name. */
  const authorId = (text) => {
    if (/^\d+$/.test(text) && accounts.get(Number(text))) return Number(text);
    return users.byUsername(text)?.id;
  };

  app.route('GET', '/posts', 'open', (context) => {
    const { limit, offset } = page(context);
    const all = withDeleted(context);
    const by = context.query('author');
    if (by !== undefined) checked(['query', 'author'], by, string({ min: 1 }));
    const rows = by === undefined ? posts.rows : postsByAuthor.get(authorId(by));
    return json([...rows.values()].reverse().filter((post) => all || post.deleted_at === null).slice(offset, offset + limit).map(wirePost));
  });

  app.route('GET', '/posts/{int}', 'open', (context) => {
    const post = withDeleted(context) ? posts.get(context.id) : livingPost(context.id);
    if (!post) throw notFound('There is no such post');
    return json(wirePost(post));
  });

  app.route('POST', '/posts', WRITERS, async (context) => {
    const fields = fieldsOf(await context.json(), POST_FIELDS);
    const at = now();
    const post = store.put('posts', { id: store.nextId('posts'), author: context.user.id, ...fields, created_at: at, updated_at: at, deleted_at: null });
    return created(wirePost(post), `/posts/${post.id}`);
  });

  app.route('PATCH', '/posts/{int}', WRITERS, async (context) => {
    mine(context, livingPost(context.id));
    const body = await context.json();
    const post = mine(context, livingPost(context.id));
    return json(wirePost(update('posts', post, fieldsOf(body, POST_FIELDS, { partial: true }))));
  });

  app.route('DELETE', '/posts/{int}', WRITERS, (context) => {
    softDelete('posts', mine(context, livingPost(context.id)));
    return noContent();
  });

  app.route('POST', '/posts/{int}/restore', ADMINS, (context) => {
    const post = posts.get(context.id);
    if (!post) throw notFound('There is no such post');
    return json(wirePost(restore('posts', post)));
  });

  // ---------------------------------------------------------------- comments

  app.route('GET', '/posts/{int}/comments', 'open', (context) => {
    const { limit, offset } = page(context);
    const all = withDeleted(context);
    if (!all || !posts.get(context.id)) livingPost(context.id);
    const rows = (all ? commentsByPost : livingByPost).get(context.id).values();
    return json([...rows].sort((a, b) => a.id - b.id).slice(offset, offset + limit).map(wireComment));
  });

  app.route('POST', '/posts/{int}/comments', 'user', async (context) => {
    livingPost(context.id);
    const body = await context.json();
    livingPost(context.id);
    const fields = fieldsOf(body, COMMENT_FIELDS);
    const at = now();
    const comment = store.put('comments', {
      id: store.nextId('comments'), post_id: context.id, author: context.user.id, ...fields, created_at: at, updated_at: at, deleted_at: null,
    });
    return created(wireComment(comment), `/comments/${comment.id}`);
  });

  app.route('PATCH', '/comments/{int}', 'user', async (context) => {
    mine(context, livingComment(context.id));
    const body = await context.json();
    const comment = mine(context, livingComment(context.id));
    return json(wireComment(update('comments', comment, fieldsOf(body, COMMENT_FIELDS, { partial: true }))));
  });

  app.route('DELETE', '/comments/{int}', 'user', (context) => {
    softDelete('comments', mine(context, livingComment(context.id)));
    return noContent();
  });

  app.route('POST', '/comments/{int}/restore', ADMINS, (context) => {
    const comment = comments.get(context.id);
    if (!comment) throw notFound('There is no such comment');
    return json(wireComment(restore('comments', comment)));
  });

  // ---------------------------------------------------------------- roles

  app.route('GET', '/users', ADMINS, (context) => {
    const { limit, offset } = page(context);
    return json([...accounts.rows.values()].slice(offset, offset + limit).map(users.wire));
  });

  app.route('PUT', '/users/{int}/role', ADMINS, async (context) => {
    const find = () => {
      const user = accounts.get(context.id);
      if (!user) throw notFound('There is no such user');
      return user;
    };
    find();
    const { role } = fieldsOf(await context.json(), ROLE_FIELDS);
    const user = find();
    const isLastAdmin = user.role === 'admin' && ![...accounts.rows.values()].some((other) => other.role === 'admin' && other.id !== user.id);
    if (isLastAdmin && role !== 'admin') throw new HttpError(409, 'The last admin cannot be demoted');
    return json(users.wire(user.role === role ? user : store.put('users', { ...user, role })));
  });
}
