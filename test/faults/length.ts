/** `FAULTS=short` asks for what CI has time for: fewer rounds and shorter faults, the same checks. */
export const short = process.env.FAULTS === 'short'

/** How many rounds, or how long: of the whole run, or of the short one. */
export const inFull = (whole: number, whenShort: number): number => (short ? whenShort : whole)
