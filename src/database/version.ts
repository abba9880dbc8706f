// The version of a row is its xmin (manual, section 5.6): the number of the transaction that wrote it, which Postgres keeps
// with every row anyhow, so that no table needs a column for it, whoever writes, a server or an admin. Every write of a row
// by a statement of its own gives it another; locking it, or freezing it in a vacuum, does not. What it can't tell:
// - Two updates of a row in one transaction of an admin have the same, but nobody else has seen the first.
// - A restored dump has new ones. An ETag from before may by accident be that of another row's state: forget them then.
// - It comes round after 4 billion transactions.
// A write that changes nothing makes a new version too, which costs whoever has the old one another GET, and no more.

/** A row: its version, and its JSON, which Postgres makes. */
export type Stored = { version: string; json: string }

/** Which row a write may find; if it is another, nothing is written. */
export type Condition = {
  /** There may be none yet. */
  mayCreate: boolean
  /** It has one of these versions; null: whichever. */
  oneOf: string[] | null
  /** It has none of these. */
  noneOf: string[]
}

/** Any row, or none. */
export const always: Condition = { mayCreate: true, oneOf: null, noneOf: [] }
