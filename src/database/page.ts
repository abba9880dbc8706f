// What all lists have in common. Postgres makes the JSON of a page: that halves the work of this process, of which there is
// one thread, for more work in Postgres, which has all cores (npm run bench:rows measures both). One statement reads several
// pages, so that those asked for at once share a round trip. Where a page begins is found in the index alone, before any row is fetched.
//
// The arrays are given as (select ${ids}::int[]), so that Postgres can't see how long they are: short ones would look cheaper
// than what it keeps a plan for, and be planned again each time.

/** A stretch of a list: `limit` rows after the one with the key `after` (from the start, if undefined), less the first `offset`. */
export type Stretch<Key> = {
  after: Key | undefined
  offset: number
  limit: number
}

/** The rows of a stretch as JSON, with commas between, how many there are, and the key of the last; null when there are none. */
export type Page<Key> = { json: string; rows: number; last: Key } | { json: null; rows: 0; last: null }

/** Stretches as the arrays that unnest() takes; `start` is a key before all others. */
export function columns<Key>(stretches: Stretch<Key>[], start: Key) {
  return {
    afters: stretches.map(({ after }) => after ?? start),
    offsets: stretches.map(({ offset }) => offset),
    limits: stretches.map(({ limit }) => limit),
  }
}
