import { test } from 'vitest'
import { migrate } from '../../src/migrate.ts'
import { sendStrings } from '../round_trip.ts'
import { startCluster } from './cluster.ts'
import { inFull } from './length.ts'
import { report } from './report.ts'

const count = inFull(1_000_000, 50_000)
const atATime = 50_000

test(`${count.toLocaleString('en')} random strings come back as they were sent, or are 400`, async () => {
  const { adminUrl } = await startCluster()
  await migrate(adminUrl)
  const first = Number(process.env.SEED ?? Date.now() % 1e9)
  const seen = { stored: 0, refused: 0 }
  for (let sent = 0; sent < count; sent += atATime) {
    const { stored, refused } = await sendStrings(adminUrl, Math.min(atATime, count - sent), first + sent)
    seen.stored += stored
    seen.refused += refused
    console.info(`${seen.stored} stored, ${seen.refused} refused`)
  }
  await report(
    {
      fault: `${count.toLocaleString('en')} random strings`,
      sent: seen.stored + seen.refused,
      lost: 0,
      wrong: 0,
      wanted: 'identical or 400, nothing stored altered',
      seen: `${seen.stored} came back identical, ${seen.refused} were in requests that were 400 and changed nothing; SEED=${first}`,
    },
    { 'all were sent': seen.stored + seen.refused >= count, 'most were stored': seen.stored > count / 2 },
  )
}, 3_600_000)
