/** Splits `host:port,host:port/chroot` into one address per server, each with the chroot; throws if it makes no sense. */
export function serversOf(connect: string): [string, ...string[]] {
  const [hosts = '', ...chroot] = connect.split('/');
  const suffix = chroot.length === 0 ? '' : `/${chroot.join('/')}`;
  const [first, ...rest] = hosts
    .split(',')
    .map((host) => host.trim())
    .filter((host) => host !== '');
  if (first === undefined) {
    throw new Error(
      `"${connect}" names no ZooKeeper server; expected host:port, or several with commas between`,
    );
  }
  for (const server of [first, ...rest]) {
    const port = /^[^:\s]+:(\d+)$|^\[[\da-f:.]+\]:(\d+)$|^[^:\s]+$/i.exec(server);
    const number = Number(port?.[1] ?? port?.[2] ?? 2181);
    if (!port || number < 1 || number > 65_535)
      throw new Error(
        `"${server}" is no address of a ZooKeeper server; expected host:port, such as 127.0.0.1:2181`,
      );
  }
  if (chroot.includes(''))
    throw new Error(`"${suffix}" can't be a chroot; expected an absolute path, such as "/shop"`);
  return [`${first}${suffix}`, ...rest.map((host) => `${host}${suffix}`)];
}
