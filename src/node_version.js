// Plain JavaScript, loaded before any TypeScript, so that an old Node gets this far: it would stop at `.ts` with
// "Unknown file extension" and leave the reader guessing.
const wanted = 26

if (Number(process.versions.node.split('.')[0]) < wanted) {
  console.error(
    `lab-inventory needs Node ${wanted} or newer, and this is ${process.version} (${process.execPath}).\n` +
      'Run `npm ci` (it installs the right Node into node_modules), then start it with `npm run …` or `npx --no-install node …`.\n' +
      `If npm was told to leave out optional dependencies, install Node ${wanted} yourself.`,
  )
  process.exit(1)
}
