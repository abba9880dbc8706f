import { STATUS_CODES } from 'node:http'
import postgres from 'postgres'
import { Unavailable } from './database/unavailable.ts'

/** What went wrong, as far as the client can tell. */
const statuses = {
  invalid: 400,
  forbidden: 403,
  missing: 404,
  not_allowed: 405,
  slow: 408,
  conflict: 409,
  precondition: 412,
  too_large: 413,
  unsupported: 415,
  long_header: 431,
  internal: 500,
  unavailable: 503,
} as const

export type Code = keyof typeof statuses

export type FieldError = { field: string; message: string }

/** An error that the client is told of, in words that say what to change. Answered as RFC 9457 has it. */
export class Problem extends Error {
  readonly status: (typeof statuses)[Code]
  readonly errors: FieldError[]

  constructor(code: Code, detail: string, errors: FieldError[] = [], options?: ErrorOptions) {
    super(detail, options)
    this.status = statuses[code]
    this.errors = errors
  }

  /** The members of RFC 9457, section 3.1; `about:blank` says that the status is all there is to the type (4.2.1). */
  toJSON() {
    return {
      type: 'about:blank',
      title: STATUS_CODES[this.status],
      status: this.status,
      detail: this.message,
      errors: this.errors,
    }
  }
}

/** One or more fields that can't be taken as they are. */
export function fieldProblem(code: Code, errors: FieldError[], options?: ErrorOptions): Problem {
  return new Problem(code, errors.map(({ field, message }) => `${field}: ${message}`).join('; '), errors, options)
}

/** Constraints that only the database can check: rows that another request may write at the same time. */
const constraints: Record<string, FieldError> = {
  freezer_site_id_fkey: { field: 'site_id', message: 'there is no site with this id' },
  computer_site_id_fkey: { field: 'site_id', message: 'there is no site with this id' },
  container_freezer_id_fkey: { field: 'freezer_id', message: 'there is no freezer with this id' },
  computer_mac_key: { field: 'mac', message: 'another computer has this MAC address' },
  container_uuid_key: { field: 'uuid', message: 'another container has this UUID' },
}

/** Whether an error tells of a constraint of the tables as migrations make them, and not of one that an admin has added. */
export function isOfOwnConstraint(error: unknown): boolean {
  return Object.hasOwn(constraints, (error as { constraint_name?: string }).constraint_name ?? '')
}

const stillReferred = 'Something else still refers to it, or it refers to something that is not there.'

/** What clients are told of constraints that admins have added: not their names, and not the values in the detail. */
const addedConstraints: Record<string, string> = {
  // unique_violation
  '23505': 'The database takes this only once, and there is another one like it.',
  // foreign_key_violation; restrict_violation, which is what Postgres 18 says where a key has "on delete restrict"
  '23503': stillReferred,
  '23001': stillReferred,
}

/** What clients are told of what the guard throws. */
const unavailable: Record<Unavailable['reason'], string> = {
  refused: 'The database can not answer at the moment. Try again soon.',
  unreachable: 'The database can not answer at the moment. Try again soon.',
  full: 'The database can not answer at the moment. Try again soon.',
  lost: 'The connection to the database was lost. A read can be repeated at once; of a write, see first whether it was done.',
  late: 'The database did not answer in time. Ask for less, or try again soon; of a write, see first whether it was done.',
  crowded: 'There is too much to do at the moment. Nothing was done. Try again soon.',
}

/** Whatever was thrown, as a Problem; what nobody foresaw becomes an internal error, with the original as its cause. */
export function toProblem(error: unknown): Problem {
  if (error instanceof Problem) return error
  if (error instanceof Unavailable) return new Problem('unavailable', unavailable[error.reason], [], { cause: error })
  if (error instanceof postgres.PostgresError) return ofPostgres(error)
  if ((error as { code?: unknown }).code === 'ECONNRESET') {
    return new Problem('invalid', 'The request broke off.', [], { cause: error })
  }
  // Hono's adapter makes a URL of the Host, but only when it needs a whole Request: for a body that comes in chunks.
  if ((error as { cause?: { code?: unknown } }).cause?.code === 'ERR_INVALID_URL') {
    return new Problem('invalid', 'The Host of the request is none that a URL can have.', [], { cause: error })
  }
  return internal(error)
}

// SQLSTATEs are those of appendix A of the Postgres manual.
function ofPostgres(error: postgres.PostgresError): Problem {
  const { code } = error
  const constraint = constraints[error.constraint_name ?? '']
  const added = addedConstraints[code]
  if (added) {
    return constraint
      ? fieldProblem('conflict', [constraint], { cause: error })
      : new Problem('conflict', added, [], { cause: error })
  }
  // not_null_violation
  if (code === '23502' && error.column_name) {
    return fieldProblem('invalid', [{ field: error.column_name, message: 'is needed to create it' }], { cause: error })
  }
  // query_canceled, by statement_timeout
  if (code === '57014') return new Problem('unavailable', unavailable.late, [], { cause: error })
  // lock_not_available, by lock_timeout; serialization_failure and deadlock_detected, again and again
  if (/^(55P03|40001|40P01)$/.test(code)) {
    const detail = 'Somebody else is writing the same. Nothing was done. Try again soon.'
    return new Problem('unavailable', detail, [], { cause: error })
  }
  // Class 08 connection, as poolers and distributed databases have it; statement_completion_unknown
  if (/^(08...|40003)$/.test(code)) return new Problem('unavailable', unavailable.lost, [], { cause: error })
  // Class 53 out of resources, 57P0x shutting down, read_only_sql_transaction
  if (/^(53...|57P0.|25006)$/.test(code)) {
    return new Problem('unavailable', unavailable.refused, [], { cause: error })
  }
  // Class 22 data exception: of a value that the schemas let through.
  if (/^22...$/.test(code)) {
    return new Problem('invalid', 'The database does not take a value in this request.', [], { cause: error })
  }
  return internal(error)
}

function internal(cause: unknown): Problem {
  return new Problem('internal', 'Something went wrong in the server, not in the request. It has been logged.', [], {
    cause,
  })
}
