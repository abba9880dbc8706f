/** What stands between the strings of a statement: a parameter, a name, or a part of a statement or several. */
export type Value =
  | string
  | number
  | boolean
  | null
  | undefined
  | Date
  | Name
  | readonly string[]
  | readonly number[]
  | Statement
  | readonly Statement[]

/** The name of a table or of a column, to be quoted. Never one from a request. */
export class Name {
  readonly name: string

  constructor(name: string) {
    this.name = name
  }
}

/** A statement, or a part of one: sent when its rows are awaited, so a part never is. */
export class Statement<Rows extends readonly object[] = readonly object[]> implements PromiseLike<Rows> {
  readonly strings: TemplateStringsArray
  readonly values: readonly Value[]
  /** Whether a connection keeps its plan under a name. */
  prepared = true
  readonly #send: (statement: Statement) => Promise<readonly object[]>
  #sent: Promise<Rows> | undefined

  constructor(
    strings: TemplateStringsArray,
    values: readonly Value[],
    send: (statement: Statement) => Promise<readonly object[]>,
  ) {
    this.strings = strings
    this.values = values
    this.#send = send
  }

  // biome-ignore lint/suspicious/noThenProperty: it is awaited, and must not be sent before.
  then<Kept = Rows, Caught = never>(
    onfulfilled?: ((rows: Rows) => Kept | PromiseLike<Kept>) | null,
    onrejected?: ((error: unknown) => Caught | PromiseLike<Caught>) | null,
  ): Promise<Kept | Caught> {
    this.#sent ??= this.#send(this) as Promise<Rows>
    return this.#sent.then(onfulfilled, onrejected)
  }

  catch<Caught>(onrejected: (error: unknown) => Caught | PromiseLike<Caught>): Promise<Rows | Caught> {
    return this.then(undefined, onrejected)
  }

  /** What its first line calls it, in a comment. */
  get name(): string {
    return nameOf(this.strings[0] ?? '') ?? 'unnamed'
  }
}

/** The name that each statement of this folder begins with, as a comment. */
export function nameOf(sql: string): string | undefined {
  return /^\s*-- (\w+)\n/.exec(sql)?.[1]
}
