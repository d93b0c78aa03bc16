/**
 * What the picture knows of a cell, in 16 bits: three of a kind, thirteen of a level. Colours come later. Pure.
 *
 * Empty, unknown and not stored are three kinds, not three volumes.
 */

import { LEVELS } from "./scale";

export const LEVEL_MASK = LEVELS - 1;
export const KIND_STEP = LEVELS;

/** Not loaded yet. */
export const ABSENT = 0;
/** No tick is stored: nobody knows. */
export const GAP = 1;
/** Beyond what the exchanges in the sum have sent: unknown. */
export const UNCOVERED = 2;
/** Zero at every exchange in the sum. */
export const ZERO = 3;
/** No exchange was in the sum. */
export const BLIND = 4;
/** Stored with another bucket size than the one that is shown. */
export const OTHER = 5;

export const BID = 1 * KIND_STEP;
export const ASK = 2 * KIND_STEP;
/** Where not all exchanges know: at least so much. */
export const BID_BOUND = 3 * KIND_STEP;
export const ASK_BOUND = 4 * KIND_STEP;
export const CODES = 5 * KIND_STEP;

export function hasVolume(code: number): boolean {
  return code >= BID;
}
