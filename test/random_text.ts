/** Numbers from 0 to 1 that are the same for the same seed (mulberry32), so that what fails can be tried again. */
export function randomNumbers(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296
  }
}

// What programs that handle text have stumbled over: ends of lines, controls, quotation marks, what SQL, JSON, CSV, HTML, forms and
// shells take for more than text, marks of byte order, accents by themselves, letters whose case changes their length, emoji
// made of several, what turns the direction of writing, noncharacters and the ends of planes.
const hard = [
  ...['\r\n', '\r', '\n', '\t', '\u0001', '\u001b', '\u007f', '\u0085', '\u2028', '\u2029', ' ', '\u00a0', '\u200b'],
  ...[
    '"',
    "'",
    '`',
    '\\',
    '\\u0000',
    '\\x00',
    '%00',
    '%',
    '%s',
    '+',
    '&',
    '=',
    ';',
    '--',
    '/*',
    '$1',
    '$$',
    '{',
    '}',
    '{}',
  ],
  ...['<script>', '&amp;', '</', '../', '|', '~', '__proto__', 'null', 'undefined', 'NaN', '0x10', '1e3', '-0', 'true'],
  ...[
    '\ufeff',
    '\ufffe',
    '\uffff',
    '\ufffd',
    '\u0301',
    'e\u0301',
    'é',
    'ß',
    'İ',
    'ſ',
    'ﬁ',
    '👩‍🔬',
    '🇺🇸',
    '\u202e',
    '\u2066',
  ],
  ...['\u{1f9ea}', '\u{10000}', '\u{1ffff}', '\u{10ffff}', 'Å', 'Å', '漢', '한', 'ن', 'א', '์'],
]
const unstorable = ['\0', '\ud800', '\udbff', '\udc00', '\udfff', '\udfff\ud800']

/** Text of any characters, most often short; about one in `unstorableIn` has what Postgres can't store, or is too long. */
export function randomText(random: () => number, unstorableIn = 200): string {
  const parts: string[] = []
  const below = (n: number) => Math.floor(random() * n)
  const length = random() < 0.002 ? 9_900 + below(100) : below(random() < 0.1 ? 60 : 12)
  while (parts.length < length) {
    const kind = random()
    if (kind < 0.3) parts.push(hard[below(hard.length)] as string)
    else if (kind < 0.5) parts.push(String.fromCharCode(1 + below(0x7f)))
    else {
      // Each code point but 0 and the surrogates, which by themselves are no characters.
      const codePoint = 1 + below(0x10ffff - 0x800)
      parts.push(String.fromCodePoint(codePoint < 0xd800 ? codePoint : codePoint + 0x800))
    }
  }
  if (below(unstorableIn) === 0)
    parts.splice(below(parts.length + 1), 0, unstorable[below(unstorable.length)] as string)
  return parts.join('')
}

/** Why it must be refused, by the words of the contract; undefined if it is to be stored as it is. */
export function whyRefused(text: string | null, isName: boolean): string | undefined {
  if (text === null) return isName ? 'must have a value' : undefined
  if (text.includes('\0')) return 'must not contain the NUL character'
  if (/\p{Surrogate}/u.test(text)) return 'must not contain half a surrogate pair'
  if (Array.from(text).length > 10_000) return 'must have at most 10000 characters'
  if (isName && /^\s*$/.test(text)) return 'must not be blank'
  return undefined
}
