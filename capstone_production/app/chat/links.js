// Turns the addresses in a text into links. Nothing here becomes HTML: each part of the text is a
// text node or an element `a`, so markup in a text stays text.

// Only these schemes: a click on `javascript:` would run a script, and `data:` or `file:` mislead.
const SCHEMES = new Set(["http:", "https:", "mailto:"]);
// Not within a longer word or address. \p{C} ends an address: invisible and direction characters could
// make it look like another one.
const ADDRESS = /(?<![\p{L}\p{N}_:/.@-])(?:https?:\/\/|mailto:)[^\s<>"\p{C}]+/giu;
const CLOSING = { ")": "(", "]": "[" };

// Returns the parts of the text: strings and links.
export function linked(text) {
  const parts = [];
  let end = 0;
  for (const { 0: found, index } of text.matchAll(ADDRESS)) {
    const words = withoutEndOfSentence(found);
    const link = linkTo(words);
    if (!link) continue;
    parts.push(text.slice(end, index), link);
    end = index + words.length;
  }
  return [...parts, text.slice(end)];
}

function linkTo(words) {
  if (!URL.canParse(words)) return null;
  const url = new URL(words);
  // https://bank.example@evil.example leads to evil.example.
  if (!SCHEMES.has(url.protocol) || url.username || url.password) return null;
  const link = document.createElement("a");
  link.href = url.href;
  link.rel = "noopener noreferrer nofollow";
  link.target = "_blank";
  link.textContent = words;
  return link;
}

// A point or a bracket after an address usually belongs to the sentence.
function withoutEndOfSentence(address) {
  let words = address;
  while (/[.,:;!?'’”*_~)\]]$/.test(words)) {
    const opening = CLOSING[words.at(-1)];
    const count = (character) => words.split(character).length;
    if (opening && count(opening) >= count(words.at(-1))) break; // as in …/Python_(language)
    words = words.slice(0, -1);
  }
  return words;
}
