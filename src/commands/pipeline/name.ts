import type { Config } from '../../config/schema.ts';

/** A step, or one of its lanes, as it is named on the command line. */
export interface Named {
  /** `<step>` or `<step>.<lane>`: also the name of its znode. */
  name: string;
  step: string;
  /** Undefined for the whole step. */
  lane: string | undefined;
}

/** Finds the step or lane of that name; throws an error that names those there are if there is none. */
export function named(steps: Config['steps'], name: string): Named {
  const [step = '', lane, ...more] = name.split('.');
  const lanes = Object.hasOwn(steps, step) ? steps[step]?.lanes : undefined;
  if (!lanes) throw new Error(`there is no step "${step}"; expected one of ${Object.keys(steps).join(', ')}`);
  if (more.length > 0 || (lane !== undefined && !Object.hasOwn(lanes, lane)))
    throw new Error(
      `step ${step} has no lane "${[lane, ...more].join('.')}"; expected ${namesOf(step, lanes).join(' or ')}`,
    );
  return { name, step, lane };
}

/** Likewise, but only a lane will do. */
export function namedLane(steps: Config['steps'], name: string): Named & { lane: string } {
  const found = named(steps, name);
  const { lane, step } = found;
  if (lane === undefined)
    throw new Error(
      `expected a lane of step ${step}: ${namesOf(step, steps[step]?.lanes ?? {}).join(' or ')}`,
    );
  return { ...found, lane };
}

const namesOf = (step: string, lanes: object) => Object.keys(lanes).map((lane) => `${step}.${lane}`);
