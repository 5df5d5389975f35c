// What a background job does: counts a text. Runs in a worker thread.

const LETTER = String.raw`\p{L}\p{M}\p{N}`;
// Letters and digits, held together by an apostrophe, a hyphen or an invisible joiner between two of
// them ("don't", "из-за"), and digits also by a dot or the like ("3.14", "12:30").
const WORD = new RegExp(`[${LETTER}]+(?:(?:['’‑_\u00AD\u200C\u200D\u2060-]|(?<=\\p{N})[.,:/](?=\\p{N}))[${LETTER}]+)*`, 'gu');
// Scripts that do not put spaces between words: a dictionary must tell.
const UNSPACED = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}\p{Script=Myanmar}]/u;
const segmenter = new Intl.Segmenter('en', { granularity: 'word' });

const TOP = 10;
const WORDS_PER_MINUTE = 200;
const STEP = 64 * 1024; // characters between two reports of progress

export function* wordsOf(text) {
  for (const { 0: token, index } of text.matchAll(WORD)) {
    if (!UNSPACED.test(token)) yield { word: token, index };
    else yield* unspacedWords(token, index);
  }
}

function* unspacedWords(token, index) {
  const slice = 500; // the segmenter is far from linear
  for (let at = 0; at < token.length; at += slice) {
    for (const { segment, isWordLike } of segmenter.segment(token.slice(at, at + slice))) {
      if (isWordLike) yield { word: segment, index: index + at };
    }
  }
}

const normalise = (word) => word.normalize('NFC').replace(/[\u00AD\u2060]/g, '').replaceAll('’', "'").replaceAll('‑', '-').toLowerCase();

export function analyse(text, onProgress = () => {}) {
  const counts = new Map();
  let words = 0;
  let reported = 0;
  for (const { word, index } of wordsOf(text)) {
    words++;
    const key = normalise(word);
    counts.set(key, (counts.get(key) ?? 0) + 1);
    if (index - reported > STEP) {
      reported = index;
      onProgress(Math.min(95, Math.floor((95 * index) / text.length)));
    }
  }
  const top = [...counts].sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1)).slice(0, TOP);
  const shape = shapeOf(text);
  const result = {
    characters: shape.characters,
    words,
    unique_words: counts.size,
    sentences: shape.sentences,
    lines: shape.lines,
    reading_time_seconds: Math.ceil((words * 60) / WORDS_PER_MINUTE),
    top_words: top.map(([word, count]) => ({ word, count })),
  };
  return { result, report: reportOf(result) };
}

const isLetter = (c) => (c < '\x80' ? (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') : /[\p{L}\p{N}]/u.test(c));

/**
 * Characters (code points), lines (as an editor numbers them, a last line break begins no new one) and
 * sentences: stretches with a letter in them, each up to a full stop, a question or exclamation mark
 * with space behind it, or up to an empty line.
 */
function shapeOf(text) {
  let characters = 0;
  let lineBreaks = 0;
  let sentences = 0;
  let letters = false; // in this sentence so far
  let closing = false; // its full stop has been seen, and nothing but quotes and brackets since
  let empty = 0; // line breaks in a row
  let last = '';
  const end = () => {
    if (letters) sentences++;
    letters = closing = false;
  };
  for (const c of text) {
    characters++;
    const lineBreak = c === '\r' || (c === '\n' && last !== '\r');
    if (lineBreak) lineBreaks++;
    if (isLetter(c)) {
      letters = true;
      closing = false;
      empty = 0;
    } else if ('.!?…'.includes(c)) {
      closing = true;
      empty = 0;
    } else if ('。！？'.includes(c)) {
      end();
    } else if (/\s/.test(c)) {
      if (lineBreak) empty++;
      if (closing || empty > 1) end();
    } else {
      closing &&= `"'»”’)]`.includes(c);
      empty = 0;
    }
    last = c;
  }
  end();
  return { characters, sentences, lines: lineBreaks + (last === '\n' || last === '\r' ? 0 : 1) };
}

function reportOf(result) {
  const rows = [
    ['Characters', result.characters],
    ['Words', result.words],
    ['Different words', result.unique_words],
    ['Sentences', result.sentences],
    ['Lines', result.lines],
    ['Reading time', `${Math.floor(result.reading_time_seconds / 60)} min ${result.reading_time_seconds % 60} s`],
  ];
  // Words are letters, digits and a few marks; of those only `_` means anything in Markdown.
  const words = result.top_words.map(({ word, count }) => `| ${word.replaceAll('_', '\\_')} | ${count} |`);
  return [
    '# Text report',
    '',
    '| | |',
    '|---|---:|',
    ...rows.map(([name, value]) => `| ${name} | ${value} |`),
    '',
    '## Most frequent words',
    '',
    ...(words.length > 0 ? ['| Word | Count |', '|---|---:|', ...words] : ['There are no words in it.']),
    '',
  ].join('\n');
}
