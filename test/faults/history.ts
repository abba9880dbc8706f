import type { IncomingHttpHeaders } from 'node:http'

export type Asked =
  | { kind: 'read'; id: number }
  /** Gives the site with this id this name, which nobody else gives to any. */
  | { kind: 'upsert'; id: number; name: string }
  | { kind: 'create'; name: string }
  | { kind: 'page'; offset: number; limit: number }
  /** Anything else, of which only the status is checked. */
  | { kind: 'other'; path: string; method?: string }

/** A request and what became of it. Times are those of performance.now(). Without `status` there was no (whole) answer: `error`. */
export type Exchange = Asked & {
  n: number
  startMs: number
  endMs?: number
  status?: number
  headers?: IncomingHttpHeaders
  body?: unknown
  error?: string
}

export type Row = { id: number; name: string }

export type Verdict = {
  sent: number
  /** Writes that were answered with 2xx. */
  acknowledged: number
  /** Writes of which nobody knows whether they were done: not answered, or with 503 and the words to see first. */
  ambiguous: number
  /** Requests answered with 503 and Retry-After. */
  refused: number
  /** Requests whose connection broke, or that were given up. */
  broken: number
  /** Acknowledged writes that are not in the final rows and that nothing explains, in words. */
  lost: string[]
  /**
   * Answers that nothing explains (another row, a value that was not there at that time, a status that must not be), and
   * final rows with what was refused, in words.
   */
  wrong: string[]
}

/**
 * A stretch of time in which Postgres or its network hung: what was sent to it then may be done as late as at the end of that, long
 * after its client was told that it failed.
 */
export type Hang = { fromMs: number; toMs: number }

/** How long after a hang what had piled up in it may take to be done. */
const graceMs = 1_000

/** `latestMs`: after that it is not done any more. `certainMs`: since then somebody knows that it was done. */
type Write = { name: string; startMs: number; latestMs: number; certainMs: number }

/**
 * Compares a history with the rows that are there after it (all of the table `site`), which must have begun with an empty table. Each
 * site is a register: a write is done at some time between its request and its answer, or, of one that is ambiguous, between its request and the
 * breaking off, or the end of the `hangs` that it met. One that was refused is never done: that is what every 503 promises that does
 * not say to see first. Whatever is read must be a value that could be there between the
 * question and the answer: not one that had been replaced, by a write that began after it was done, and was itself done before.
 * `mayBreak` allows requests without an answer, and `statuses` are those allowed besides 2xx and 503 with Retry-After.
 */
export function check(
  exchanges: Exchange[],
  rows: Row[],
  { hangs = [], mayBreak = false, statuses = [] }: { hangs?: Hang[]; mayBreak?: boolean; statuses?: number[] } = {},
): Verdict {
  const lost: string[] = []
  const wrong: string[] = []
  const writes = exchanges.filter((each) => each.kind === 'upsert' || each.kind === 'create')
  const registers = new Map<number, ReturnType<typeof register>>()
  const upserts = Map.groupBy(
    writes.filter((each) => each.kind === 'upsert'),
    ({ id }) => id,
  )

  for (const each of exchanges) {
    if (each.status === undefined ? mayBreak : isAllowed(each, statuses)) continue
    wrong.push(`${tell(each)}: ${each.status === undefined ? `broken, ${each.error}` : 'a status that must not be'}`)
  }

  // What was created is a register that nobody writes to; one of unknown id is looked for by its name.
  const idOfName = new Map(rows.map(({ id, name }) => [name, id]))
  for (const each of writes) {
    if (each.kind !== 'create') continue
    const id = isDone(each) ? (each.body as Row).id : idOfName.get(each.name)
    if (id === undefined) continue
    if (registers.has(id)) wrong.push(`${tell(each)}: the id ${id} was given twice`)
    if (upserts.has(id)) wrong.push(`${tell(each)}: the id ${id} was taken`)
    registers.set(id, register([toWrite(each, hangs)]))
  }
  for (const [id, group] of upserts) registers.set(id, register(group.map((each) => toWrite(each, hangs))))

  // How many sites were there before anything else was asked: these are what pages begin with.
  const filled = exchanges.findIndex((each, i) => !(each.kind === 'upsert' && each.id === i + 1 && isDone(each)))

  // In the order of their answers: what one has read is known to be there for those that begin later.
  const seen = exchanges
    .flatMap((each) => readings(each, filled).map((reading) => ({ each, ...reading })))
    .sort((a, b) => (a.each.endMs ?? 0) - (b.each.endMs ?? 0))
  for (const { each, id, name } of seen) registers.get(id)?.know(name, each.endMs ?? Number.POSITIVE_INFINITY)
  for (const { each, id, name, own } of seen) {
    if (own !== undefined) {
      if (name !== own) wrong.push(`${tell(each)}: answered with ${id} ${name}`)
      continue
    }
    const { impossible } = registers.get(id) ?? nobody
    const why = impossible(name, each.startMs, each.endMs)
    if (why) wrong.push(`${tell(each)}: ${id} is ${name}, ${why}`)
  }
  for (const each of exchanges) wrong.push(...mistaken(each).map((why) => `${tell(each)}: ${why}`))

  const final = new Map(rows.map(({ id, name }) => [id, name]))
  for (const [id, { impossible, wasRefused }] of registers) {
    const name = final.get(id)
    const why = impossible(name, Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY)
    if (why) (wasRefused(name) ? wrong : lost).push(`${id} is ${name} in the end, ${why}`)
  }
  for (const { id, name } of rows) {
    if (!registers.has(id))
      wrong.push(`${id} ${name} is there in the end: nobody wrote it, or somebody once and not twice`)
  }

  const acknowledged = writes.filter(isDone).length
  return {
    sent: exchanges.length,
    acknowledged,
    ambiguous: writes.filter(isAmbiguous).length,
    refused: exchanges.filter(({ status }) => status === 503).length,
    broken: exchanges.filter(({ status }) => status === undefined).length,
    lost,
    wrong,
  }
}

/** Whether it was answered with success. */
export const isDone = ({ status = 0 }: Exchange) => status >= 200 && status < 300
/** Whether nobody can know, of a write, if it was done. Any other 503 than these promises that nothing was. */
function isAmbiguous({ status = 500, body }: Exchange) {
  return status === 503 ? /see first/.test(Object(body).detail) : status >= 500
}

function isAllowed(each: Exchange, statuses: number[]) {
  const { status = 0, headers } = each
  // Of a row that is not there yet; whether it may be missing is looked at as any other reading.
  if (status === 404 && each.kind === 'read') return true
  return isDone(each) || statuses.includes(status) || (status === 503 && /^\d+$/.test(headers?.['retry-after'] ?? ''))
}

function toWrite(each: Exchange & { name: string }, hangs: Hang[]): Write {
  const { name, startMs, endMs = Number.POSITIVE_INFINITY } = each
  if (isDone(each)) return { name, startMs, latestMs: endMs, certainMs: endMs }
  const certainMs = Number.POSITIVE_INFINITY
  // A request that was refused is a write that never was.
  if (!isAmbiguous(each)) return { name, startMs: Number.POSITIVE_INFINITY, latestMs: endMs, certainMs }
  const late = hangs.filter(({ fromMs, toMs }) => startMs <= toMs && endMs >= fromMs).map(({ toMs }) => toMs + graceMs)
  return { name, startMs, latestMs: Math.max(endMs, ...late), certainMs }
}

type Reading = { id: number; name: string | undefined; own?: string }

/** Which sites an answer shows, by what names; `own` is the one that a write has given and must be shown. */
function readings(each: Exchange, filled: number): Reading[] {
  const { status, body } = each
  if (each.kind === 'read' && status === 404) return [{ id: each.id, name: undefined }]
  if (!isDone(each)) return []
  if (each.kind === 'page' && Array.isArray(body)) {
    const shown = body.map(({ id, name }: Row) => ({ id, name }))
    const ids = Array.from({ length: each.limit }, (_, i) => each.offset + i + 1).filter((id) => id <= filled)
    const missing = ids.filter((id) => !shown.some((row) => row.id === id))
    return [...shown, ...missing.map((id) => ({ id, name: undefined }))]
  }
  const { id, name } = Object(body) as Row
  if (each.kind === 'read') return [{ id: each.id, name }]
  if (each.kind === 'upsert' || each.kind === 'create') return [{ id, name, own: each.name }]
  return []
}

/** What is wrong with an answer by itself: the id of another row, a page that is out of order. */
function mistaken(each: Exchange): string[] {
  if (!isDone(each)) return []
  if (each.kind === 'page') {
    if (!Array.isArray(each.body)) return ['no list']
    const ids = each.body.map(({ id }: Row) => id)
    const inOrder = ids.every((id, i) => id > (ids[i - 1] ?? 0))
    return inOrder && ids.length <= each.limit ? [] : [`the page has ${ids}`]
  }
  const { id } = Object(each.body) as Row
  return (each.kind === 'read' || each.kind === 'upsert') && id !== each.id ? [`the row of ${id}`] : []
}

/** All writes to one site. Before them there is none, which is the name undefined. */
function register(writes: Write[]) {
  const byName = new Map(writes.map((write) => [write.name, write]))
  let firstCertain: Write[] | undefined

  /** Somebody has read this by then. */
  function know(name: string | undefined, atMs: number) {
    const write = byName.get(name ?? '')
    if (!write || atMs < write.startMs) return
    write.certainMs = Math.min(write.certainMs, atMs)
    write.latestMs = Math.min(write.latestMs, atMs)
  }

  /** Of the writes that began after this time, the one that was certain first. */
  function firstAfter(timeMs: number) {
    firstCertain ??= suffixes(writes)
    let [low, high] = [0, firstCertain.length]
    while (low < high) {
      const middle = (low + high) >> 1
      if ((firstCertain[middle] as Write).startMs > timeMs) high = middle
      else low = middle + 1
    }
    return firstCertain[low]
  }

  /** Why a read that began and ended then can't have seen this; undefined if it can. */
  function impossible(name: string | undefined, startMs: number, endMs = Number.POSITIVE_INFINITY): string | undefined {
    const write = name === undefined ? nothing : byName.get(name)
    if (!write) return 'a name that nobody gave it'
    if (wasRefused(name)) return 'which was refused'
    if (write.startMs > endMs) return 'which was not written yet'
    const later = firstAfter(write.latestMs)
    return later && later.certainMs < startMs ? `which ${later.name} had replaced` : undefined
  }

  /** Whether this is the name of a write that was answered with the promise that nothing was done. */
  function wasRefused(name: string | undefined) {
    return byName.get(name ?? '')?.startMs === Number.POSITIVE_INFINITY
  }

  return { know, impossible, wasRefused }
}

/** The register of a site that nobody has written to. */
const nobody = register([])

const nothing = { startMs: Number.NEGATIVE_INFINITY, latestMs: Number.NEGATIVE_INFINITY }

/** Writes by when they began; each with the least `certainMs` of itself and those after it, and the name of that one. */
function suffixes(writes: Write[]): Write[] {
  const sorted = writes.map((write) => ({ ...write })).sort((a, b) => a.startMs - b.startMs)
  for (let i = sorted.length - 2; i >= 0; i--) {
    const [each, next] = [sorted[i] as Write, sorted[i + 1] as Write]
    if (next.certainMs < each.certainMs) Object.assign(each, { certainMs: next.certainMs, name: next.name })
  }
  return sorted
}

function tell(each: Exchange) {
  const { n, headers, body, ...rest } = each
  const retryAfter = headers?.['retry-after']
  const { detail } = Object(body)
  return `#${n} ${JSON.stringify({ ...rest, ...(retryAfter && { retryAfter }), ...(detail && { detail }) })}`
}
