import { Command } from 'commander';
import { migrate } from '../store/migrate.ts';
import { addApiKey } from '../store/sellers.ts';
import { withStore } from './withStore.ts';

const example = `
Example:
  $ chodang seller add farm-17
  $ SELLER_KEY=$(chodang seller add farm-17 --json | jq -r .apiKey)

The key is shown this once; we keep only its hash. Adding a seller again makes another key; earlier ones stay good.`;

/** Makes `chodang seller`, which lets sellers in. */
export function sellerCommand(): Command {
  const command = new Command('seller').description('lets sellers in').addHelpText('after', example);
  command
    .command('add')
    .description('adds a seller, if need be, and makes an API key')
    .argument('<id>', "the seller's id, as it stands in the orders")
    .option('--json', 'prints { sellerId, apiKey }')
    .addHelpText('after', example)
    .action(async (sellerId: string, { json }: { json?: boolean }) => {
      if (!/^[^\p{Cc}\p{Cs}]{1,100}$/u.test(sellerId))
        throw new Error(`Expected a seller's id of 1 to 100 characters, got ${JSON.stringify(sellerId)}.`);
      await withStore(async (store) => {
        await migrate(store);
        const apiKey = await addApiKey(store, sellerId);
        process.stdout.write(
          json
            ? `${JSON.stringify({ sellerId, apiKey })}\n`
            : `Seller ${sellerId} has the API key ${apiKey}\nIt is shown this once.\n`,
        );
      });
    });
  return command;
}
