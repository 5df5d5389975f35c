// The server: settings, storage, the stages' parts, start and stop.
//
//   PORT=8000 STAGE=8 DATA_DIR=. node server.mjs      (or --port 8000)
import { createHash } from 'node:crypto';
import { createServer } from 'node:net';
import { readFileSync } from 'node:fs';
import { BadSetting, readSettings } from './config.mjs';
import { App, json, log } from './http.mjs';
import { blog } from './blog.mjs';
import { chat, htmlPage } from './chat.mjs';
import { jobs } from './jobs.mjs';
import { openApi } from './openapi.mjs';
import { pictures } from './pictures.mjs';
import { Pool } from './pool.mjs';
import { Store } from './store.mjs';
import { todos } from './todos.mjs';
import { users } from './users.mjs';
import { weatherRoute } from './weather-route.mjs';

const STOP_WITHIN = 1500; // ms

// A parent that has gone away must not take us with it.
process.stdout.on('error', () => {});
process.stderr.on('error', () => {});
process.on('uncaughtException', (error) => log('bug', { error: String(error?.stack ?? error) }));
process.on('unhandledRejection', (error) => log('bug', { error: String(error?.stack ?? error) }));

async function main() {
  const settings = readSettings();
  const app = new App();
  const store = new Store(['todos', 'users', 'images', 'jobs', 'texts', 'posts', 'comments', 'messages'], (error) => log('cannot write', { error: error.message }));
  app.beforeAnswer = () => store.durable();
  const passwords = new Pool({ maxQueue: 200 });
  const inspectors = new Pool({ maxQueue: 50, timeout: 60_000 });
  const shared = { store, settings, passwords, inspectors };

  if (settings.stage >= 2) await lock(settings.journal);
  todos(app, shared);
  if (settings.stage >= 3) shared.users = users(app, shared);
  if (settings.stage >= 4) pictures(app, shared);
  const queue = settings.stage >= 5 ? jobs(app, shared) : null;
  if (settings.stage >= 6) weatherRoute(app, shared);
  if (settings.stage >= 7) blog(app, shared);
  const room = settings.stage >= 8 ? chat(app, shared) : null;
  const description = openApi(app.routes, settings.stage);
  const docs = readFileSync(new URL('./docs.html', import.meta.url), 'utf8');
  app.route('GET', '/openapi.json', 'open', () => json(description));
  app.route('GET', '/docs', 'open', () => htmlPage(docs));

  if (settings.stage >= 2) await store.open(settings.journal);
  if (settings.stage >= 7) await shared.users.ensureFirstAdmin();
  queue?.takeUp();

  let stopping = false;
  const stop = async (signal) => {
    if (stopping) return;
    stopping = true;
    log('stopping', { signal });
    app.draining = true;
    setTimeout(() => process.exit(0), STOP_WITHIN + 300).unref(); // whatever happens
    room?.stop();
    const closed = new Promise((resolve) => app.server.close(resolve));
    app.server.closeIdleConnections();
    const idle = setInterval(() => app.server.closeIdleConnections(), 50);
    await Promise.race([Promise.all([closed, queue?.stop()]), new Promise((resolve) => setTimeout(resolve, STOP_WITHIN))]);
    clearInterval(idle);
    app.server.closeAllConnections();
    await store.close();
    process.exit(0);
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);

  app.server.on('error', (error) => fail(error));
  app.server.listen(settings.port, '127.0.0.1', () => {
    process.stdout.write(`Listening on http://127.0.0.1:${app.server.address().port} (stage ${settings.stage})\n`);
  });
}

/**
 * Two servers must not write one journal. A name in Linux's abstract socket space is gone when its process
 * is, however it ended; on other systems there is no such thing and no lock.
 */
async function lock(journal) {
  if (process.platform !== 'linux') return;
  const name = `\0todo-journal-${createHash('sha256').update(journal).digest('hex')}`;
  for (let attempt = 0; ; attempt++) {
    try {
      await new Promise((resolve, reject) => {
        const holder = createServer((socket) => socket.destroy());
        holder.once('error', reject);
        holder.listen(name, resolve).unref();
      });
      return;
    } catch (error) {
      if (error.code !== 'EADDRINUSE') throw error;
      if (attempt === 30) throw new BadSetting(`Another server is using ${journal}`);
      await new Promise((resolve) => setTimeout(resolve, 100)); // it may be about to end
    }
  }
}

function fail(error) {
  process.stderr.write(`${error instanceof BadSetting ? error.message : (error.stack ?? error)}\n`);
  process.exit(1);
}

main().catch(fail);
