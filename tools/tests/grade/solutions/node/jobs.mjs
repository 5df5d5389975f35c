// Stage 5: background jobs. A job's row in the journal is the queue: whatever has not ended is run,
// also after a crash. Only the process that holds the journal runs jobs, so none is run twice at once,
// and a job ends exactly when the row that says so is written.
import { EventEmitter } from 'node:events';
import { randomUUID } from 'node:crypto';
import { decodeUtf8, parseMediaType } from './forms.mjs';
import { HttpError, json, log, notFound } from './http.mjs';
import { Pool } from './pool.mjs';
import { checked, fieldsOf, moment, nullable, oneOf, string } from './validation.mjs';
import { now, page, time } from './common.mjs';

const CONCURRENCY = 2;
const MAX_FAILURES = 3;
const MAX_ATTEMPTS = 10; // with those that a restart interrupted: a job must not take the server down for ever
const LONGEST_TIMER = 3600_000;
const STATUSES = ['scheduled', 'queued', 'running', 'succeeded', 'failed', 'cancelled'];
const ENDED = new Set(['succeeded', 'failed', 'cancelled']);

const FIELDS = {
  text: { check: string({ blank: false }), required: true },
  run_at: { check: nullable(moment()), fallback: null },
};

const wire = (job) => ({
  id: job.id,
  status: job.status,
  progress: job.progress,
  created_at: time(job.created_at),
  run_at: time(job.run_at),
  started_at: time(job.started_at),
  finished_at: time(job.finished_at),
  attempts: job.attempts,
  result: job.result,
  error: job.error,
});

export function jobs(app, { store, settings }) {
  const { jobs: table, texts } = store.tables;
  const byOwner = table.groupBy(({ owner }) => owner);
  const waiting = table.groupBy(({ status }) => (ENDED.has(status) ? undefined : 'waiting'));
  const ended = table.groupBy(({ status }) => (ENDED.has(status) ? 'ended' : undefined));
  const streams = new Set(); // of GET /jobs/{id}/events
  const changes = new EventEmitter().setMaxListeners(0);
  const pool = new Pool({ size: CONCURRENCY, timeout: 180_000 });
  const notBefore = new Map(); // id → when a failed job may be tried again
  let running = 0;
  let timer = null;
  let stopped = false;

  const isExpired = (job) => ENDED.has(job.status) && job.finished_at + settings.jobRetention * 1000 <= now();
  const change = (job, fields, ...more) => {
    const next = { ...job, ...fields };
    store.commit(['put', 'jobs', next], ...more);
    changes.emit(job.id);
    return next;
  };
  /** The end of a job; its text is not needed any more. */
  const end = (job, status, fields) => change(job, { status, finished_at: Math.max(now(), job.created_at), ...fields }, ['del', 'texts', job.id]);

  // ---------------------------------------------------------------- running

  /** Starts what is due and comes back when the next one is. */
  const schedule = () => {
    clearTimeout(timer);
    if (stopped) return;
    const at = now();
    let next = Infinity;
    for (const job of [...waiting.get('waiting').values()]) {
      if (job.status === 'running') continue;
      const due = Math.max(job.run_at ?? 0, notBefore.get(job.id) ?? 0);
      if (due > at) {
        next = Math.min(next, due);
        continue;
      }
      const ready = job.status === 'scheduled' ? change(job, { status: 'queued' }) : job;
      if (running < CONCURRENCY) void run(ready);
    }
    if (next < Infinity) timer = setTimeout(schedule, Math.min(next - at, LONGEST_TIMER));
  };

  const run = async (queued) => {
    running++;
    notBefore.delete(queued.id);
    const job = change(queued, { status: 'running', attempts: queued.attempts + 1, started_at: now(), progress: 0 });
    try {
      const { result, report } = await pool.run('analyse', { text: texts.get(job.id).text }, {
        onProgress(progress) {
          table.put({ ...table.get(job.id), progress }); // not worth the disk
          changes.emit(job.id);
        },
      });
      end(job, 'succeeded', { progress: 100, result, report });
    } catch (error) {
      if (stopped) return; // it stays `running` in the journal and is taken up again at the next start
      log('job failed', { id: job.id, attempt: job.attempts, error: error.message });
      const failures = (job.failures ?? 0) + 1;
      if (failures >= MAX_FAILURES) {
        end(job, 'failed', { failures, error: `The text could not be processed; it was tried ${job.attempts} times` });
      } else {
        notBefore.set(job.id, now() + 1000 * 2 ** failures);
        change(job, { status: 'queued', failures, progress: 0 });
      }
    } finally {
      running--;
      schedule();
    }
  };

  /** At start: what was running when the server went down is queued again. */
  const takeUp = () => {
    for (const job of [...waiting.get('waiting').values()]) {
      if (job.status !== 'running') continue;
      if (job.attempts >= MAX_ATTEMPTS) end(job, 'failed', { error: `The text could not be processed; it was tried ${job.attempts} times` });
      else change(job, { status: 'queued', progress: 0 });
    }
    schedule();
    sweep();
  };

  // The periodic schedule: what ended long ago is removed.
  const sweep = () => {
    for (const job of ended.get('ended').values()) if (isExpired(job)) store.delete('jobs', job.id);
  };
  const sweeper = setInterval(sweep, Math.min(60_000, Math.max(500, settings.jobRetention * 250)));
  sweeper.unref();

  // ---------------------------------------------------------------- routes

  const add = (owner, text, runAt) => {
    const at = now();
    const run_at = runAt?.getTime() ?? null;
    const job = {
      id: randomUUID(), owner, status: run_at !== null && run_at > at ? 'scheduled' : 'queued', progress: 0, created_at: at, run_at,
      started_at: null, finished_at: null, attempts: 0, result: null, error: null,
    };
    store.commit(['put', 'texts', { id: job.id, text }], ['put', 'jobs', job]);
    setImmediate(schedule);
    return json(wire(job), 202, { Location: `/jobs/${job.id}` });
  };
  const ownJob = (context) => {
    const job = table.get(context.id);
    if (!job || job.owner !== context.user.id || isExpired(job)) throw notFound('There is no such job');
    return job;
  };

  app.route('POST', '/jobs', 'user', async (context) => {
    const { text, run_at } = fieldsOf(await context.json(), FIELDS);
    return add(context.user.id, text, run_at);
  });

  app.route('POST', '/jobs/file', 'user', async (context) => {
    const { file, fields } = await context.upload(['run_at']);
    if (!isTextType(file.contentType)) throw new HttpError(415, 'Only text files are accepted');
    const text = decodeUtf8(file.data)?.replace(/^\uFEFF/, '');
    if (text === undefined || text.includes('\0')) throw new HttpError(415, 'Only text in UTF-8 is accepted');
    const clean = fieldsOf({ text, ...(fields.run_at ? { run_at: fields.run_at } : {}) }, FIELDS);
    return add(context.user.id, clean.text, clean.run_at);
  });

  app.route('GET', '/jobs', 'user', (context) => {
    const { limit, offset } = page(context);
    const word = context.query('status');
    const status = word === undefined ? null : checked(['query', 'status'], word, oneOf(...STATUSES));
    const rows = [...byOwner.get(context.user.id).values()].reverse().filter((job) => !isExpired(job) && (status === null || job.status === status));
    return json(rows.slice(offset, offset + limit).map(wire));
  });

  app.route('GET', '/jobs/{uuid}', 'user', (context) => json(wire(ownJob(context))));

  app.route('GET', '/jobs/{uuid}/report', 'user', (context) => {
    const job = ownJob(context);
    if (job.status !== 'succeeded') throw new HttpError(409, ENDED.has(job.status) ? 'This job has no report' : 'The report is not ready yet');
    return { status: 200, body: job.report, headers: { 'Content-Type': 'text/markdown; charset=utf-8' } };
  });

  app.route('DELETE', '/jobs/{uuid}', 'user', (context) => {
    const job = ownJob(context);
    if (job.status !== 'scheduled' && job.status !== 'queued') {
      throw new HttpError(409, job.status === 'running' ? 'The job is already running' : 'The job has already ended');
    }
    return json(wire(end(job, 'cancelled', {})));
  });

  app.route('GET', '/jobs/{uuid}/events', 'user', (context) => {
    const { response, request } = context;
    const { id } = ownJob(context);
    response.writeHead(200, { 'Content-Type': 'text/event-stream; charset=utf-8', 'Cache-Control': 'no-cache', 'X-Accel-Buffering': 'no' });
    if (request.method === 'HEAD') return void response.end();
    let last = '';
    const tell = async () => {
      try {
        await app.beforeAnswer();
      } catch {
        return response.end();
      }
      const job = table.get(id);
      const text = job ? JSON.stringify(wire(job)) : null;
      if (response.writableEnded) return;
      if (response.writableLength > 256 * 1024) return response.destroy(); // does not read
      if (text !== null && text !== last) response.write(`event: job\ndata: ${text}\n\n`);
      last = text;
      if (!job || ENDED.has(job.status)) response.end();
    };
    const alive = setInterval(() => response.write(': still here\n\n'), 15_000);
    changes.on(id, tell);
    streams.add(response);
    response.on('close', () => {
      clearInterval(alive);
      changes.off(id, tell);
      streams.delete(response);
    });
    void tell();
  });

  return {
    takeUp,
    async stop() {
      stopped = true;
      clearTimeout(timer);
      clearInterval(sweeper);
      for (const response of streams) response.end();
      await pool.close();
    },
  };
}

/** Declared as text, as one of the text-like applications, as unknown, or not at all. */
function isTextType(header) {
  if (header === undefined) return true;
  const { type, parameters } = parseMediaType(header);
  const textual = type.startsWith('text/') || /^application\/(octet-stream|json|xml|x-ndjson|markdown|x-yaml|yaml)$/.test(type) || /\+(json|xml)$/.test(type);
  return textual && /^(utf-?8|us-ascii)$/i.test(parameters.charset ?? 'utf-8');
}
