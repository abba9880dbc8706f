import pino, { type LogFn, type Logger } from 'pino'
import { nameOf } from './database/statement.ts'

// Logs are read by more people than the data is, and kept for longer. So nothing that was sent, and nothing that is stored, may
// get into them, and errors are full of it: Postgres quotes the value that it can't take, or the whole row.

/** What the log has of an error. Whatever else is on it stays out. */
export type LoggedError = {
  type: string
  message: string
  /** A SQLSTATE (manual, appendix A), or Node's or the driver's name of it. */
  code?: string
  /** The function of src/database/ whose statement failed, and its text, with $1 for values. */
  statement?: string
  sql?: string
  severity?: string
  schema?: string
  table?: string
  column?: string
  constraint?: string
  /** Where in Postgres' sources it was thrown. */
  routine?: string
  syscall?: string
  /** Where it was thrown: a line for each frame, without the message. */
  stack: string[]
  cause?: LoggedError
  errors?: LoggedError[]
}

/** A log of JSON lines on stdout. What is logged as `err`, or alone, is told as `describeError` has it. */
export function createLog(level: string, destination?: { write: (line: string) => void }): Logger {
  const options = { level, base: { pid: process.pid }, serializers: { err: describeError }, hooks: { logMethod } }
  return destination ? pino(options, destination) : pino(options)
}

// By itself pino repeats the message of an error where no other is given.
function logMethod(this: Logger, [first, message, ...rest]: Parameters<LogFn>, log: LogFn) {
  const object: unknown = first instanceof Error ? { err: first } : first
  const isError = typeof object === 'object' && object !== null && 'err' in object
  log.apply(this, [object, message ?? (isError ? 'an error' : undefined), ...rest] as unknown as Parameters<LogFn>)
}

/** An error without the values that it may quote. */
export function describeError(error: unknown, depth = 0): LoggedError {
  if (!(error instanceof Error)) return { type: typeof error, message: withheld, stack: [] }
  const it = error as Error & Record<string, unknown>
  const query = textOf(it.query)
  return stripped({
    type: error.constructor.name,
    message: messageOf(it),
    code: textOf(it.code),
    statement: query && nameOf(query),
    sql: query,
    severity: textOf(it.severity),
    schema: textOf(it.schema_name),
    table: textOf(it.table_name) ?? textOf(it.table),
    column: textOf(it.column_name) ?? textOf(it.column),
    constraint: textOf(it.constraint_name) ?? textOf(it.constraint),
    routine: textOf(it.routine),
    syscall: textOf(it.syscall),
    stack: framesOf(error),
    cause: error.cause === undefined || depth > 4 ? undefined : describeError(error.cause, depth + 1),
    errors:
      Array.isArray(it.errors) && error instanceof AggregateError && depth <= 4
        ? it.errors.map((each) => describeError(each, depth + 1))
        : undefined,
  })
}

const withheld = '(withheld, because it may quote a value)'

// The classes of SQLSTATE whose messages name things, such as tables, users and limits. The others, 22 (data) and P0 (raised by a
// trigger) first of all, quote what was sent.
const namesThingsOnly = /^(08|0A|23|25|28|3D|3F|40|42|53|55|57|58|XX)...$/

function messageOf(error: Error & Record<string, unknown>): string {
  const { message, code } = error
  if (isOfPostgres(error)) return namesThingsOnly.test(String(code)) ? message : withheld
  // Those of JSON.parse(), BigInt(), new Intl.…() and decodeURI() quote what they can't read.
  if (error instanceof SyntaxError || error instanceof RangeError || error instanceof URIError) return withheld
  // And so do those of Node's functions when they are called with something else than they take.
  if (typeof code === 'string' && code.startsWith('ERR_')) return withheld
  return message
}

// The two drivers have a class each for what Postgres says; both carry its severity.
function isOfPostgres({ code, severity }: Error & Record<string, unknown>) {
  return typeof severity === 'string' && typeof code === 'string'
}

/** Frames look like `    at name (file:line:column)`; the message comes before, and may have lines that look the same. */
function framesOf({ stack = '', message }: Error): string[] {
  const at = stack.indexOf(message)
  return (at < 0 ? stack : stack.slice(at + message.length))
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => /^at .*(:\d+:\d+|<anonymous>|native)\)?$/.test(line))
}

const textOf = (value: unknown) => (typeof value === 'string' ? value : undefined)

function stripped(error: { [Key in keyof LoggedError]: LoggedError[Key] | undefined }): LoggedError {
  return Object.fromEntries(Object.entries(error).filter(([, value]) => value !== undefined)) as LoggedError
}
