import { parseArgs } from 'node:util'
import { workloadNames } from './workloads.ts'

export type Options = {
  containers: number
  seconds: number
  rounds: number
  connections: number
  workloads: string[]
  check: boolean
}

const help = `npm run bench -- [options]: measures this server, and others beside it, on generated data.

  --containers 1000000  rows in the largest table; as many computers and freezers, 10,000 sites
  --seconds 3           how long each measurement takes
  --rounds 3            how often each is made, in turn; the table shows medians
  --connections 64      clients at once
  --workloads a,b       only these: ${workloadNames.join(', ')}
  --check               exit 1 if a ratio is not what it should be
  --help

Results are printed, and written to .data/bench/results.md and results.json.
A short run to see that it works: npm run bench -- --seconds 1 --rounds 1 --containers 10000`

/** Reads the command line; prints what is wrong with it, and exits. */
export function readOptions(args: string[]): Options {
  try {
    const { values } = parseArgs({
      args,
      options: {
        containers: { type: 'string', default: '1000000' },
        seconds: { type: 'string', default: '3' },
        rounds: { type: 'string', default: '3' },
        connections: { type: 'string', default: '64' },
        workloads: { type: 'string', default: workloadNames.join(',') },
        check: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    })
    if (values.help) {
      console.info(help)
      process.exit()
    }
    const workloads = values.workloads.split(',')
    const unknown = workloads.filter((name) => !workloadNames.includes(name))
    if (unknown.length > 0) throw new Error(`There is no workload ${unknown.join(', ')}.`)
    return {
      containers: count('containers', values.containers, 1_000, 100_000_000),
      seconds: count('seconds', values.seconds, 1, 600),
      rounds: count('rounds', values.rounds, 1, 100),
      connections: count('connections', values.connections, 1, 1_000),
      workloads,
      check: values.check,
    }
  } catch (error) {
    console.error(`${(error as Error).message}\n\n${help}`)
    process.exit(1)
  }
}

function count(name: string, text: string, min: number, max: number): number {
  const value = Number(text)
  if (!/^\d+$/.test(text) || value < min || value > max) {
    throw new Error(`--${name} must be a whole number from ${min} to ${max}.`)
  }
  return value
}
