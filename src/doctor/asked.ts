import { type Finding, warn } from './check.ts';
import { type Management, ManagementRefused } from './management.ts';
import { reasonOf } from './words.ts';

/** Gives what `look` finds out about `check` from the management API, or a warning that it didn't answer. */
export async function asked(
  { origin }: Management,
  check: string,
  look: () => Promise<Finding[]>,
): Promise<Finding[]> {
  try {
    return await look();
  } catch (error) {
    const refused = error instanceof ManagementRefused;
    return [
      warn(check, {
        found: `not looked at: the management API at ${origin} can't be asked: ${reasonOf(error)}`,
        remedy: refused
          ? 'correct the user in CHODANG_RABBITMQ_MANAGEMENT_URL, or let it look (this replaces its tags): ' +
            'rabbitmqctl set_user_tags USER monitoring'
          : 'correct CHODANG_RABBITMQ_MANAGEMENT_URL, or on the server: rabbitmq-plugins enable rabbitmq_management',
      }),
    ];
  }
}
