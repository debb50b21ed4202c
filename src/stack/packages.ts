import { spawn, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { installedVersions } from './postgres.ts';
import { rabbitmqHome } from './rabbitmq.ts';
import { zkCli, zookeeperJar } from './zookeeper.ts';

const packages: Record<string, { debian: string; isThere: () => boolean }> = {
  postgres: { debian: 'postgresql', isThere: () => installedVersions().length > 0 },
  rabbitmq: {
    debian: 'rabbitmq-server',
    isThere: () => existsSync(join(rabbitmqHome, 'rabbitmq-server')) && onPath('epmd'),
  },
  zookeeper: {
    debian: 'zookeeper',
    isThere: () => existsSync(zookeeperJar) && existsSync(zkCli) && onPath('java'),
  },
  // Not Chodang's: bench/peers/ measures BullMQ on it.
  redis: { debian: 'redis-server', isThere: () => onPath('redis-server') },
};

/**
 * Installs the Debian packages these servers need and that aren't there, with `apt-get`.
 *
 * Needs root, or sudo without a password; else, and without apt, it throws and says what to type. No
 * service is started by it. Two clones may call it at once: the second waits and finds all there.
 */
export async function installMissing(servers: string[], log: (line: string) => void): Promise<void> {
  const missing = missingPackages(servers);
  if (missing.length === 0) return;
  const list = missing.join(' ');
  const otherwise =
    `\nOr use servers of your own: set CHODANG_POSTGRES_URL, CHODANG_RABBITMQ_URL and CHODANG_ZOOKEEPER ` +
    `(compose.yaml starts such servers with Docker and shows the lines to export).`;
  if (!onPath('apt-get')) {
    throw new Error(
      `Not installed: ${list} (names of Debian's packages), and there is no apt-get here.${otherwise}`,
    );
  }
  const byHand = `sudo apt-get update && sudo apt-get install --no-install-recommends -y ${list}`;
  const asRoot = process.getuid?.() === 0;
  if (!asRoot && spawnSync('sudo', ['-n', 'true'], { stdio: 'ignore' }).status !== 0) {
    throw new Error(`Not installed: ${list}. Only root may install packages. Run\n  ${byHand}\n${otherwise}`);
  }
  log(`installing ${list} (apt-get)`);
  const command = ['sh', '-c', script, 'install', ...missing];
  const { status, output } = await run(asRoot ? command : ['sudo', '-n', ...command]);
  if (status === 130 || status === 143) throw new Error(`Interrupted while installing ${list}`);
  const still = missingPackages(servers);
  if (status !== 0 || still.length > 0) {
    throw new Error(
      `apt-get could not install ${list}:\n${output}\nTry it by hand:\n  ${byHand}\n${otherwise}`,
    );
  }
}

/** Lists the Debian packages these servers need and that aren't there. */
export function missingPackages(servers: string[]): string[] {
  return servers
    .map((server) => packages[server])
    .filter((needed) => needed !== undefined && !needed.isThere())
    .map((needed) => needed?.debian ?? '');
}

// Debian's packages start their servers while they are installed, unless policy-rc.d says no (101). What it
// said before comes back whatever happens; a shell sees to that even if the process that started it is gone.
const script = `
set -u
exec 9>>/var/cache/apt/chodang.lock
flock 9
policy=/usr/sbin/policy-rc.d
saved=$policy.before-chodang
restore() {
  if [ -e "$saved" ] || [ -L "$saved" ]; then mv -f "$saved" "$policy"
  elif grep -qs 'made by chodang' "$policy"; then rm -f "$policy"
  fi
}
restore
missing=
for package; do
  dpkg-query -W -f '\${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
trap restore EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
if [ -e "$policy" ] || [ -L "$policy" ]; then mv "$policy" "$saved" || exit 1; fi
printf '#!/bin/sh\\n# made by chodang for the time of one apt-get\\nexit 101\\n' > "$policy"
chmod 755 "$policy"
export DEBIAN_FRONTEND=noninteractive
apt-get -qq -o DPkg::Lock::Timeout=300 update 9>&- || echo 'The lists of packages could not be renewed; going on with what is there.'
apt-get -qq -y -o DPkg::Lock::Timeout=300 install --no-install-recommends $missing 9>&-
`;

/** Runs a command to its end, also through Ctrl-C, which is passed on to it: it has something to restore. */
async function run([file = '', ...args]: string[]): Promise<{ status: number | null; output: string }> {
  const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
  }
  const passOn = (name: NodeJS.Signals) => child.kill(name);
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const name of signals) process.on(name, passOn);
  try {
    const status = await new Promise<number | null>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', resolve);
    });
    return { status, output };
  } finally {
    for (const name of signals) process.off(name, passOn);
  }
}

function onPath(program: string): boolean {
  const folders = `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin:/usr/bin:/bin`.split(delimiter);
  return folders.some((folder) => existsSync(join(folder, program)));
}
