import * as v from 'valibot'

// What requests may hold. Numbers arrive as they were written, as text (see body.ts), so that one schema fits JSON, forms
// and the parts of a path, and no number is rounded on the way.

const idMessage = 'must be a whole number from 1 to 2147483647'
const countMessage = 'must be a whole number from 0 to 2147483647'

/** Largest int of Postgres. */
const maxInt = 2147483647

/** An id, in a path or as a reference in a body. */
export const Id = v.pipe(
  v.string(idMessage),
  v.regex(/^[1-9]\d{0,9}$/, idMessage),
  v.transform(Number),
  v.maxValue(maxInt, idMessage),
)

const Count = v.pipe(
  v.string(countMessage),
  v.regex(/^(0|[1-9]\d{0,9})$/, countMessage),
  v.transform(Number),
  v.maxValue(maxInt, countMessage),
)

/** `/{id}` in a path. */
export const ById = v.object({ id: Id })

/** `/{offset}/{limit}` in a path; a limit of 0 is none. */
export const Page = v.object({ offset: Count, limit: Count })

/** `/{id}/…/{offset}/{limit}` in a path. */
export const PageById = v.object({ id: Id, offset: Count, limit: Count })

const integerMessage = 'must be a whole number from -2147483648 to 2147483647'

/** Whatever an int column may be compared with; it stays text. */
export const Integer = v.pipe(
  v.string(integerMessage),
  v.regex(/^-?\d{1,10}$/, integerMessage),
  v.check((text) => Number(text) >= -maxInt - 1 && Number(text) <= maxInt, integerMessage),
)

/** Text as Postgres can store it: no NUL; as UTF-8 can write it: no lone surrogates. Counted as Postgres does, as code points. */
export const Characters = v.pipe(
  v.string('must be text, a number or null'),
  v.check((text) => !text.includes('\0'), 'must not contain the NUL character'),
  v.check((text) => text.isWellFormed(), 'must not contain half a surrogate pair'),
  v.check(
    (text) => text.length <= 10_000 || (text.length <= 20_000 && [...text].length <= 10_000),
    'must have at most 10000 characters',
  ),
)

/** Text that may be null. */
export const Text = v.nullable(Characters)

/** Text that says something. */
export const Name = v.pipe(
  v.string(({ input }) => (input === null ? 'must have a value' : 'must be text or a number')),
  Characters,
  v.check((text) => text.trim() !== '', 'must not be blank'),
)

/** The notations that Postgres reads as macaddr (manual, section 8.9.4): six groups of two digits, two of six, three of four, or one. */
export const MacText = v.pipe(
  v.string('must be a MAC address or null'),
  v.regex(
    /^([\da-f]{1,2}(:[\da-f]{1,2}){5}|[\da-f]{1,2}(-[\da-f]{1,2}){5}|[\da-f]{6}[:-]?[\da-f]{6}|[\da-f]{4}(\.[\da-f]{4}){2}|[\da-f]{4}(-[\da-f]{4}){2})$/i,
    'must be a MAC address such as 08:00:2b:01:02:03',
  ),
)

export const Mac = v.nullable(MacText)

/** The notations that Postgres reads as uuid (manual, section 8.12): 32 digits, hyphens after any four, perhaps in braces. */
export const Uuid = v.pipe(
  v.string('must be a UUID; leave it out to get a random one'),
  v.regex(
    /^(\{[\da-f]{4}(-?[\da-f]{4}){7}\}|[\da-f]{4}(-?[\da-f]{4}){7})$/i,
    'must be a UUID such as 0f8fad5b-d9cb-469f-a165-70867728950e',
  ),
)
