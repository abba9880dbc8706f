import { expect, test } from 'vitest'
import { Unavailable } from '../../src/database/unavailable.ts'
import { toProblem } from '../../src/errors.ts'
import { type Asked, check, type Exchange, type Row } from './history.ts'

const retryAfter = { 'retry-after': '1' }
const name = (asked: Asked) => ('name' in asked ? asked.name : undefined)

/** A request from one time to another, answered with the row that it wrote, or as `answer` says. */
function asked(startMs: number, endMs: number, what: Asked, answer: Partial<Exchange> = {}): Exchange {
  const body = { id: 'id' in what ? what.id : undefined, name: name(what) }
  return { ...what, n: 0, startMs, endMs, status: what.kind === 'create' ? 201 : 200, body, ...answer } as Exchange
}

const upsert = (startMs: number, endMs: number, name: string, answer?: Partial<Exchange>) =>
  asked(startMs, endMs, { kind: 'upsert', id: 1, name }, answer)
const create = (startMs: number, endMs: number, row: Row, answer?: Partial<Exchange>) =>
  asked(startMs, endMs, { kind: 'create', name: row.name }, { body: row, ...answer })
const read = (startMs: number, endMs: number, name: string | undefined) =>
  asked(startMs, endMs, { kind: 'read', id: 1 }, name === undefined ? { status: 404 } : { body: { id: 1, name } })
/** The 503s of the server itself. After some, somebody who writes has to see first; after the others nothing was done. */
const unavailable = (reason: Unavailable['reason']) => ({
  status: 503,
  headers: retryAfter,
  body: toProblem(new Unavailable(reason)).toJSON(),
})
const unsure = unavailable('lost')
const refused = unavailable('refused')

/** As a request that was never answered. */
function unanswered({ status: _, body: __, ...rest }: Exchange) {
  return { ...rest, error: 'ECONNRESET' } as Exchange
}

const one = (name: string) => [{ id: 1, name }]

/** How much is found lost and wrong. */
function found(history: Exchange[], rows: Row[], options?: Parameters<typeof check>[2]) {
  const { lost, wrong } = check(history, rows, options)
  return { lost: lost.length, wrong: wrong.length }
}

const fine = { lost: 0, wrong: 0 }

test('a history in which each reads what was written is fine, and is counted', () => {
  const history = [
    upsert(0, 1, 'a'),
    read(2, 3, 'a'),
    upsert(4, 5, 'b'),
    read(6, 7, 'b'),
    upsert(8, 9, 'c', unsure),
    create(10, 11, { id: 9, name: 'd' }),
    unanswered(create(12, 13, { id: 10, name: 'e' })),
    upsert(14, 15, 'f', refused),
    create(16, 17, { id: 11, name: 'g' }, refused),
  ]
  const rows = [...one('b'), { id: 9, name: 'd' }]
  expect(check(history, rows, { mayBreak: true })).toEqual({
    sent: 9,
    acknowledged: 3,
    ambiguous: 2,
    refused: 3,
    broken: 1,
    lost: [],
    wrong: [],
  })
})

test('an acknowledged write that is not there in the end is lost', () => {
  expect(found([upsert(0, 1, 'a'), upsert(2, 3, 'b')], one('a'))).toEqual({ lost: 1, wrong: 0 })
  expect(found([upsert(0, 1, 'a')], [])).toEqual({ lost: 1, wrong: 0 })
  expect(found([create(0, 1, { id: 9, name: 'd' })], [])).toEqual({ lost: 1, wrong: 0 })
  expect(found([create(0, 1, { id: 9, name: 'd' })], [{ id: 9, name: 'other' }])).toEqual({ lost: 1, wrong: 0 })
})

test.each([
  ['not answered', unanswered(upsert(2, 3, 'b'))],
  ['answered that the connection was lost', upsert(2, 3, 'b', unavailable('lost'))],
  ['answered that it took too long', upsert(2, 3, 'b', unavailable('late'))],
])('a write that was %s may be there or not, but none before it in place of one between', (_, write) => {
  const history = [upsert(0, 1, 'a'), write]
  const mayBreak = { mayBreak: true }
  expect(found(history, one('a'), mayBreak)).toEqual(fine)
  expect(found(history, one('b'), mayBreak)).toEqual(fine)
  expect(found([...history, upsert(4, 5, 'c')], one('b'), mayBreak)).toEqual({ lost: 1, wrong: 0 })
})

test.each<Unavailable['reason']>(['refused', 'unreachable', 'full', 'crowded'])(
  'after a 503 by which nothing was done (%s), what was to be written is wrong wherever it shows up',
  (reason) => {
    const history = [upsert(0, 1, 'a'), upsert(2, 3, 'b', unavailable(reason))]
    expect(found(history, one('a'))).toEqual(fine)
    expect(found([...history, read(4, 5, 'a')], one('a'))).toEqual(fine)
    expect(found(history, one('b'))).toEqual({ lost: 0, wrong: 1 })
    expect(found([...history, read(4, 5, 'b')], one('a'))).toEqual({ lost: 0, wrong: 1 })
    // Not even while it was asked, nor when what had piled up in a hang is done.
    expect(found([...history, read(2, 3, 'b')], one('a'))).toEqual({ lost: 0, wrong: 1 })
    expect(found(history, one('b'), { hangs: [{ fromMs: 2, toMs: 5 }] })).toEqual({ lost: 0, wrong: 1 })
    const created = create(2, 3, { id: 9, name: 'd' }, unavailable(reason))
    expect(found([created], [])).toEqual(fine)
    expect(found([created], [{ id: 9, name: 'd' }])).toEqual({ lost: 0, wrong: 1 })
  },
)

test('a 503 without a word of why promises that nothing was done, and a 500 nothing', () => {
  const write = (answer: Partial<Exchange>) => [upsert(0, 1, 'a'), upsert(2, 3, 'b', answer)]
  expect(found(write({ ...refused, body: '' }), one('b'))).toEqual({ lost: 0, wrong: 1 })
  expect(found(write({ ...refused, body: { detail: 'Nothing was done.' } }), one('b'))).toEqual({ lost: 0, wrong: 1 })
  expect(found(write({ status: 500, body: {} }), one('b'), { statuses: [500] })).toEqual(fine)
})

test('a write that was given up in a hang may be done at its end, and not later', () => {
  const history = [upsert(0, 1, 'a'), upsert(2, 3, 'b', unsure), upsert(4, 5, 'c'), upsert(9_000, 9_001, 'd')]
  expect(found(history.slice(0, 3), one('b'))).toEqual({ lost: 1, wrong: 0 })
  expect(found(history.slice(0, 3), one('b'), { hangs: [{ fromMs: 2, toMs: 5 }] })).toEqual(fine)
  expect(found(history, one('b'), { hangs: [{ fromMs: 2, toMs: 5 }] })).toEqual({ lost: 1, wrong: 0 })
})

test('of writes at once, any may be the last', () => {
  const history = [upsert(0, 5, 'a'), upsert(1, 6, 'b')]
  expect(found(history, one('a'))).toEqual(fine)
  expect(found(history, one('b'))).toEqual(fine)
})

test('a read of what had been replaced before it began is wrong', () => {
  const writes = [upsert(0, 1, 'a'), upsert(2, 3, 'b')]
  expect(found([...writes, read(4, 5, 'a')], one('b'))).toEqual({ lost: 0, wrong: 1 })
  expect(found([...writes, read(4, 5, undefined)], one('b'))).toEqual({ lost: 0, wrong: 1 })
  expect(found([...writes, read(2, 5, 'a')], one('b'))).toEqual(fine)
})

test('what one has read, nobody may find gone later, although its write was not acknowledged', () => {
  const history = [upsert(0, 1, 'a'), upsert(2, 3, 'b', unsure), read(4, 5, 'b')]
  expect(found([...history, read(6, 7, 'a')], one('b'))).toEqual({ lost: 0, wrong: 1 })
  expect(found(history, one('a'))).toEqual({ lost: 1, wrong: 0 })
})

test('a read of what was not written yet, or by nobody, or of what was refused for good, is wrong', () => {
  const writes = [upsert(0, 1, 'a'), upsert(6, 7, 'b')]
  expect(found([...writes, read(4, 5, 'b')], one('b'))).toEqual({ lost: 0, wrong: 1 })
  expect(found([...writes, read(4, 5, 'x')], one('b'))).toEqual({ lost: 0, wrong: 1 })
  const conflict = upsert(2, 3, 'c', { status: 409 })
  expect(found([...writes, conflict, read(4, 5, 'c')], one('b'), { statuses: [409] })).toEqual({ lost: 0, wrong: 1 })
})

test("somebody else's row is wrong, for a reader and for a writer", () => {
  const writes = [upsert(0, 1, 'a')]
  const another = asked(2, 3, { kind: 'read', id: 1 }, { body: { id: 2, name: 'a' } })
  expect(found([...writes, another], one('a'))).toEqual({ lost: 0, wrong: 1 })
  expect(found([upsert(0, 1, 'a', { body: { id: 2, name: 'a' } })], one('a')).wrong).toBeGreaterThan(0)
  expect(found([upsert(0, 1, 'a', { body: { id: 1, name: 'b' } })], one('a')).wrong).toBeGreaterThan(0)
  expect(
    found([create(0, 1, { id: 9, name: 'd' }, { body: { id: 9, name: 'e' } })], [{ id: 9, name: 'd' }]).wrong,
  ).toBe(1)
})

test('a page that lacks a row, or has one twice, or an old one, is wrong', () => {
  const writes = [upsert(0, 1, 'a'), asked(2, 3, { kind: 'upsert', id: 2, name: 'b' })]
  const rows = [...one('a'), { id: 2, name: 'b' }]
  const page = (body: Row[]) => found([...writes, asked(4, 5, { kind: 'page', offset: 0, limit: 10 }, { body })], rows)
  expect(page(rows)).toEqual(fine)
  expect(page([{ id: 2, name: 'b' }])).toEqual({ lost: 0, wrong: 1 })
  expect(page([])).toEqual({ lost: 0, wrong: 2 })
  expect(page([...rows, { id: 2, name: 'b' }])).toEqual({ lost: 0, wrong: 1 })
  expect(page([...one('a'), { id: 2, name: 'a' }])).toEqual({ lost: 0, wrong: 1 })
  expect(page([...rows, { id: 3, name: 'c' }])).toEqual({ lost: 0, wrong: 1 })
})

test('a row that nobody wrote, an id given twice and a creation done twice are wrong', () => {
  expect(found([], one('a'))).toEqual({ lost: 0, wrong: 1 })
  const twice = [create(0, 1, { id: 9, name: 'd' }), create(2, 3, { id: 9, name: 'e' })]
  expect(found(twice, [{ id: 9, name: 'e' }]).wrong).toBe(1)
  const rows = [
    { id: 9, name: 'd' },
    { id: 10, name: 'd' },
  ]
  expect(found([create(0, 1, { id: 9, name: 'd' })], rows)).toEqual({ lost: 0, wrong: 1 })
  expect(found([create(0, 1, { id: 9, name: 'd' }, unsure)], rows)).toEqual({ lost: 0, wrong: 1 })
})

test('a status that must not be, a 503 without Retry-After and a broken connection are wrong', () => {
  const other = (answer: Partial<Exchange>) => asked(0, 1, { kind: 'other', path: '/summary' }, answer)
  expect(found([other({})], [])).toEqual(fine)
  expect(found([other(refused)], [])).toEqual(fine)
  for (const status of [400, 404, 500, 502]) expect(found([other({ status })], [])).toEqual({ lost: 0, wrong: 1 })
  expect(found([other({ status: 400 })], [], { statuses: [400] })).toEqual(fine)
  expect(found([other({ status: 503, headers: {} })], [])).toEqual({ lost: 0, wrong: 1 })
  expect(found([unanswered(other({}))], [])).toEqual({ lost: 0, wrong: 1 })
  expect(found([unanswered(other({}))], [], { mayBreak: true })).toEqual(fine)
})
