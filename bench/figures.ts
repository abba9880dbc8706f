import type { Sample } from './measure.ts'

/** Median, least and most of the rounds. */
export type Spread = { median: number; min: number; max: number }

export type Figures = { [key in Measured]: Spread | undefined } & {
  workload: string
  contestant: Sample['contestant']
  faults: string[]
}

type Measured = 'perSecond' | 'p50Ms' | 'p99Ms' | 'serverCpu' | 'postgresCpu' | 'peakMb' | 'generatorCores'

/** The rounds of each contestant under each workload as one, in the order in which they were first measured. */
export function summarise(samples: Sample[]): Figures[] {
  const groups = Map.groupBy(samples, ({ workload, contestant }) => `${workload} ${contestant}`)
  return [...groups.values()].map((rounds) => {
    const [{ workload, contestant } = { workload: '', contestant: 'ours' as const }] = rounds
    const of = (key: Measured) => spread(rounds.map((sample) => sample[key]))
    return {
      workload,
      contestant,
      perSecond: of('perSecond'),
      p50Ms: of('p50Ms'),
      p99Ms: of('p99Ms'),
      serverCpu: of('serverCpu'),
      postgresCpu: of('postgresCpu'),
      peakMb: of('peakMb'),
      generatorCores: of('generatorCores'),
      faults: [...new Set(rounds.flatMap(({ faults }) => faults))],
    }
  })
}

/** Of the values that are known; undefined if none is. */
export function spread(values: (number | undefined)[]): Spread | undefined {
  const known = values.filter((value): value is number => Number.isFinite(value)).sort((a, b) => a - b)
  const middle = (known.length - 1) / 2
  const [low, high] = [known[Math.floor(middle)], known[Math.ceil(middle)]]
  const [min, max] = [known[0], known.at(-1)]
  if (low === undefined || high === undefined || min === undefined || max === undefined) return undefined
  return { median: (low + high) / 2, min, max }
}
