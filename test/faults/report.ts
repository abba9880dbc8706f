import { appendFile, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { availableParallelism, loadavg } from 'node:os'
import { expect, inject } from 'vitest'
import type { TestProject } from 'vitest/node'
import { short } from './length.ts'

declare module 'vitest' {
  interface ProvidedContext {
    /** Where rows are kept until the end of the run. */
    rowsFile: string
  }
}

/** What became of one fault. Counts that make no sense for it are left out. */
export type ReportRow = {
  fault: string
  /** Requests. */
  sent: number
  /** Writes that were answered with 2xx. */
  acknowledged?: number
  lost?: number
  wrong?: number
  /** How long after the fault was over answers were as before; of several rounds the longest. */
  recoveredMs?: number
  /** The figure to reach. */
  wanted: string
  /** What was seen besides. */
  seen?: string
}

/** Adds a row to the table that closes the run, and fails the test if `met` says so: names what must hold, each true or false. */
export async function report(row: ReportRow, met: { [what: string]: boolean }): Promise<void> {
  const missed = Object.keys(met).filter((what) => !met[what])
  const whole = { ...row, met: missed.length === 0, ...(missed.length > 0 && { missed }) }
  await appendFile(inject('rowsFile'), `${JSON.stringify(whole)}\n`)
  expect(missed, `what must hold and does not, in ${JSON.stringify(row)}`).toEqual([])
}

/** Runs once, around all files of a run: prints the table at its end, and keeps it as JSON in .data/faults/. */
export default async function setUp(project: TestProject) {
  const folder = new URL('../../.data/faults/', import.meta.url)
  await mkdir(folder, { recursive: true })
  const rowsFile = new URL(`rows-${process.pid}.jsonl`, folder)
  await writeFile(rowsFile, '')
  project.provide('rowsFile', rowsFile.pathname)

  return async function tearDown() {
    const lines = (await readFile(rowsFile, 'utf8')).split('\n').filter((line) => line !== '')
    await rm(rowsFile)
    const rows = lines.map((line) => JSON.parse(line) as ReportRow & { met: boolean; missed?: string[] })
    if (rows.length === 0) return
    const name = `${new Date().toISOString().slice(0, 19).replaceAll(':', '')}Z.json`
    await writeFile(new URL(name, folder), `${JSON.stringify({ length: short ? 'short' : 'full', rows }, null, 2)}\n`)
    // What else goes on makes all of it slower.
    const busy = `load average ${loadavg()
      .map((load) => load.toFixed(1))
      .join(' ')} on ${availableParallelism()} processors`
    console.info(`\n${table(rows)}\n\nAlso in .data/faults/${name}; ${busy}.`)
  }
}

const columns = ['fault', 'sent', 'acknowledged', 'lost', 'wrong', 'recovered ms', 'seen', 'wanted', 'met']

function table(rows: (ReportRow & { met: boolean; missed?: string[] })[]) {
  const lines = rows.map((row) => [
    row.fault,
    row.sent,
    row.acknowledged,
    row.lost,
    row.wrong,
    row.recoveredMs === undefined ? undefined : Math.round(row.recoveredMs),
    row.seen,
    row.wanted,
    row.met ? 'yes' : `NO: ${row.missed}`,
  ])
  return [columns, columns.map(() => '---'), ...lines]
    .map((cells) => `| ${cells.map((cell) => cell ?? '').join(' | ')} |`)
    .join('\n')
}
