/** Why a statement was not answered; each of these passes without anybody changing the request. */
const reasons = {
  refused: 'the database can not be used at the moment',
  unreachable: 'no connection to the database could be opened',
  full: 'Postgres has no connection left',
  lost: 'the connection to the database was lost',
  late: 'the database did not answer in time',
  crowded: 'too many statements are waiting for the database',
} as const

/**
 * What the guard in front of the database throws instead of an error of Postgres itself. After `lost` and `late` nobody can
 * know whether a statement that writes was carried out; after the others it was not.
 */
export class Unavailable extends Error {
  readonly reason: keyof typeof reasons

  constructor(reason: keyof typeof reasons, options?: ErrorOptions) {
    super(reasons[reason], options)
    this.reason = reason
  }
}
