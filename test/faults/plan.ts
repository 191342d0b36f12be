/** The options of a run; `scripts/test-faults.mjs` sets them from its flags. */
export interface Plan {
  isFull: boolean;
  seed: number;
  /** How long the random walk of the full form lasts. */
  walkMs: number;
  updateDocs: boolean;
}

const DEFAULT_WALK_S = 180;

/** @param seed if the environment names none */
export function planOf(environment: NodeJS.ProcessEnv, seed: number): Plan {
  const { FAULTS_FORM, FAULTS_SEED, FAULTS_WALK_S, FAULTS_UPDATE_DOCS } = environment;
  return {
    isFull: FAULTS_FORM === 'full',
    seed: FAULTS_SEED ? Number(FAULTS_SEED) : seed,
    walkMs: Number(FAULTS_WALK_S ?? DEFAULT_WALK_S) * 1_000,
    updateDocs: FAULTS_UPDATE_DOCS === 'true',
  };
}
