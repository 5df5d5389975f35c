// Stage 4: images.
import { createHash, randomUUID } from 'node:crypto';
import { mkdirSync, readdirSync, rmSync } from 'node:fs';
import { open, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { parseMediaType } from './forms.mjs';
import { created, HttpError, json, log, noContent, notFound } from './http.mjs';
import { sniff } from './images.mjs';
import { PoolFull, WorkerDied } from './pool.mjs';
import { now, page, time } from './common.mjs';
import { syncDirectory } from './store.mjs';

const EXTENSION = { 'image/png': 'png', 'image/jpeg': 'jpg' };
const ALIASES = { 'image/jpg': 'image/jpeg', 'image/pjpeg': 'image/jpeg', 'image/x-png': 'image/png' };

const wire = ({ id, filename, content_type, size, width, height, uploaded_at }) => ({
  id, filename, content_type, size, width, height, uploaded_at: time(uploaded_at), url: `/images/${id}/file`,
});

/** The last part of what the client calls the file, without control characters. */
function cleanName(name, fallback) {
  const last = name.split(/[/\\]/).at(-1).replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, '').trim();
  return [...last].slice(0, 255).join('') || fallback;
}

export function pictures(app, { store, settings, inspectors }) {
  const { images } = store.tables;
  const byOwner = images.groupBy(({ owner }) => owner);
  const pathOf = (image) => join(settings.mediaDir, image.path);

  mkdirSync(settings.mediaDir, { recursive: true });
  for (const name of readdirSync(settings.mediaDir)) {
    // Uploads that a crash interrupted.
    if (/^[0-9a-f-]{36}\.part$/.test(name)) rmSync(join(settings.mediaDir, name), { force: true });
  }

  const ownImage = (context) => {
    const image = images.get(context.id);
    if (!image || image.owner !== context.user.id) throw notFound('There is no such image');
    return image;
  };

  const keep = async (name, bytes) => {
    const temporary = join(settings.mediaDir, `${name.split('.')[0]}.part`);
    try {
      const file = await open(temporary, 'wx', 0o644);
      try {
        await file.writeFile(bytes);
        await file.sync();
      } finally {
        await file.close();
      }
      await rename(temporary, join(settings.mediaDir, name));
      syncDirectory(settings.mediaDir);
    } catch (error) {
      await rm(temporary, { force: true }).catch(() => {});
      throw error;
    }
  };

  const inspect = async (data) => {
    const bytes = new Uint8Array(data); // a copy of its own, to give away
    try {
      return await inspectors.run('image', { bytes }, { transfer: [bytes.buffer] });
    } catch (error) {
      if (error instanceof PoolFull || app.draining) throw new HttpError(503, 'Too many uploads at once; try again', { 'Retry-After': '5' });
      const why = error instanceof WorkerDied ? 'The picture cannot be read' : error.message;
      throw new HttpError(422, [{ type: 'image_invalid', loc: ['body', 'file'], msg: why }]);
    }
  };

  app.route('POST', '/images', 'user', async (context) => {
    const { file } = await context.upload();
    const type = sniff(file.data);
    if (!type) throw new HttpError(415, 'Only JPEG and PNG pictures are accepted');
    const declared = file.contentType === undefined ? type : parseMediaType(file.contentType).type;
    if ((ALIASES[declared] ?? declared) !== type) throw new HttpError(415, `The file is declared to be something else than ${type}`);
    const { width, height, bytes } = await inspect(file.data);
    const id = randomUUID();
    const path = `${id}.${EXTENSION[type]}`;
    await keep(path, bytes);
    const image = store.put('images', {
      id, owner: context.user.id, path, filename: cleanName(file.filename, `image.${EXTENSION[type]}`), content_type: type,
      size: bytes.length, width, height, uploaded_at: now(), etag: createHash('sha256').update(bytes).digest('base64url'),
    });
    return created(wire(image), `/images/${id}`);
  });

  app.route('GET', '/images', 'user', (context) => {
    const { limit, offset } = page(context);
    return json([...byOwner.get(context.user.id).values()].reverse().slice(offset, offset + limit).map(wire));
  });

  app.route('GET', '/images/{uuid}', 'user', (context) => json(wire(ownImage(context))));

  app.route('DELETE', '/images/{uuid}', 'user', async (context) => {
    const image = ownImage(context);
    store.delete('images', image.id);
    await store.durable(); // the row first: a row without its file would be worse than a file without a row
    await rm(pathOf(image), { force: true });
    return noContent();
  });

  app.route('GET', '/images/{uuid}/file', 'open', async (context) => {
    const image = images.get(context.id);
    if (!image) throw notFound('There is no such image');
    const etag = `"${image.etag}"`;
    const headers = { ETag: etag, 'Cache-Control': 'no-cache', 'X-Content-Type-Options': 'nosniff' };
    if (matches(context.request.headers['if-none-match'], etag)) return { status: 304, headers };
    const file = await open(pathOf(image), 'r').catch((error) => {
      if (error.code !== 'ENOENT') throw error;
      if (images.get(context.id)) log('image file is missing', { id: image.id });
      throw notFound('There is no such image');
    });
    Object.assign(headers, {
      'Content-Type': image.content_type,
      'Content-Disposition': `inline; filename="${image.filename.replace(/[^\x20-\x7e]|["\\%]/g, '_')}"; filename*=UTF-8''${encodeURIComponent(image.filename).replace(/['()*]/g, (c) => `%${c.charCodeAt(0).toString(16)}`)}`,
      'Content-Security-Policy': "default-src 'none'; sandbox",
      'Accept-Ranges': 'bytes',
    });
    const range = rangeOf(context.request.headers, image.size, etag);
    if (range === 'unsatisfiable') {
      await file.close();
      throw new HttpError(416, 'There is nothing in that range', { 'Content-Range': `bytes */${image.size}`, ETag: etag });
    }
    const [start, end] = range ?? [0, image.size - 1];
    if (range) headers['Content-Range'] = `bytes ${start}-${end}/${image.size}`;
    headers['Content-Length'] = end - start + 1;
    return { status: range ? 206 : 200, headers, stream: file.createReadStream({ start, end }) };
  });
}

function matches(header, etag) {
  if (header === undefined) return false;
  return header.trim() === '*' || (header.match(/(?:W\/)?"[^"]*"/g) ?? []).some((tag) => tag.replace(/^W\//, '') === etag);
}

/** → [start, end], null for the whole, or 'unsatisfiable'. Only one range; what is not understood is ignored. */
function rangeOf({ range, 'if-range': ifRange }, size, etag) {
  const match = /^bytes=\s*(\d*)-(\d*)\s*$/i.exec(range ?? '');
  if (!match || (match[1] === '' && match[2] === '') || (ifRange !== undefined && ifRange !== etag)) return null;
  if (match[1] === '') {
    const last = Number(match[2]);
    return last === 0 ? 'unsatisfiable' : [Math.max(0, size - last), size - 1];
  }
  const start = Number(match[1]);
  const end = match[2] === '' ? size - 1 : Number(match[2]);
  if (match[2] !== '' && end < start) return null; // not a range at all
  return start >= size ? 'unsatisfiable' : [start, Math.min(end, size - 1)];
}
