// Takes the sealed values of a destination out of what its receiver answers, before that is stored: a receiver may echo its
// request. Pure. Called by attempt.ts through the prepared destination.
import { MASK } from "#contract/destinations.ts";

/** Shorter words are no secrets, and hiding them would tear other text apart. */
const SECRET_MIN_CHARS = 8;
/** A media type is sent as a header too, and says nothing. */
const MEDIA_TYPE = /^[a-z]+\/[a-z0-9.+*-]+$/i;

/** `cut`: the text was cut off at its end, perhaps within a secret. */
export type Hide = (text: string, cut?: boolean) => string;

/** @param secrets header values such as `Bearer …` or `Token token="…"`: their words are secrets too */
export function createHider(secrets: readonly string[]): Hide {
  const words = secrets.flatMap((secret) => [secret, ...secret.split(/[\s"=,;]+/)]);
  const hidden = new Set<string>();
  for (const word of words.filter((one) => one.length >= SECRET_MIN_CHARS && !MEDIA_TYPE.test(one))) {
    hidden.add(word);
    // As JSON writes it within a text.
    const in_json = JSON.stringify(word).slice(1, -1);
    hidden.add(in_json).add(in_json.replaceAll("/", "\\/"));
    // As a URL or a form writes it.
    hidden.add(encodeURIComponent(word)).add(new URLSearchParams({ "": word }).toString().slice(1));
  }
  if (hidden.size === 0) return (text) => text;
  const longest_first = [...hidden].sort((a, b) => b.length - a.length);
  // In whatever case: the host of a URL is read in small letters.
  const words_in_text = new RegExp(longest_first.map(escaped).join("|"), "gi");
  const beginnings = longest_first.map(lowered);
  return (text, cut = false) => {
    const left = text.replace(words_in_text, MASK);
    return cut ? hideTail(left, beginnings) : left;
  };
}

function escaped(word: string): string {
  return word.replace(/[\\^$.*+?()[\]{}|/-]/g, "\\$&");
}

/** What the text ends with, when that is the beginning of a secret, in whatever case. @param words in small letters */
function hideTail(text: string, words: readonly string[]): string {
  let longest = 0;
  const end = lowered(text);
  for (const word of words) {
    for (let length = word.length - 1; length >= SECRET_MIN_CHARS && length > longest; length--) {
      if (end.endsWith(word.slice(0, length))) longest = length;
    }
  }
  return longest === 0 ? text : text.slice(0, -longest) + MASK;
}

/** Character by character, for a few letters become two: the end would be cut at another place. */
function lowered(text: string): string {
  return text.replace(/\p{Lu}/gu, (letter) =>
    letter.toLowerCase().length === letter.length ? letter.toLowerCase() : letter,
  );
}
