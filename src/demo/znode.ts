import { openSwitches } from '../switches/open.ts';
import { SwitchChangedError, type SwitchPlace, writeSwitch } from '../switches/write.ts';

const nowhere = { info: () => undefined, warn: () => undefined, error: () => undefined };

/**
 * Writes a switch's fallback into ZooKeeper if the switch has no znode yet, so that `zkCli set` has one to set.
 *
 * That changes nothing about what the switch says. Does nothing while ZooKeeper is away.
 */
export async function makeZnode(place: SwitchPlace, name: string): Promise<void> {
  const switches = await openSwitches({ ...place, log: nowhere });
  const { connected, switches: all } = switches.status();
  await switches.close();
  const fallback = place.registry[name]?.fallback;
  if (connected && fallback !== undefined && all[name]?.raw === null)
    await writeSwitch(place, name, fallback, { ifVersion: null }).catch((error: unknown) => {
      if (!(error instanceof SwitchChangedError)) throw error; // somebody set it in the meantime: so much the better
    });
}
