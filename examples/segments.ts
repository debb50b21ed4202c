// Reads what a person wrote, and asks whom it sends where; ZooKeeper is not needed for that.
//
//   npx tsx examples/segments.ts
import { parseRule } from '../src/switches/parse.ts';
import { describeRule } from '../src/switches/rule.ts';
import { evaluateSwitch } from '../src/switches/switch.ts';
import { SwitchValueError } from '../src/switches/value-error.ts';

const definition = { variants: ['legacy', 'actors'], by: 'sellerId', fallback: 'legacy' };
const print = (line: string) => process.stdout.write(`${line}\n`);

const rule = parseRule(
  definition,
  `{
    "variants": { "legacy": 90, "actors": 10 },
    "segments": [
      { "when": { "sellerId": ["s-17", "s-18"] }, "variant": "actors" },
      { "when": { "region": ["jeju"], "size": ["large"] }, "variant": "legacy" }
    ],
    "note": "ramp after incident 12"
  }`,
);
print(describeRule(rule));

const state = { name: 'path', definition, applied: { rule, version: 3 }, error: undefined };
const contexts: Record<string, string>[] = [
  { sellerId: 's-17', region: 'jeju', size: 'large' }, // the first segment that matches counts
  { sellerId: 's-1', region: 'jeju', size: 'large' },
  { sellerId: 's-1', region: 'jeju' }, // all of `when` must match
  { region: 'seoul' }, // no key to split by
];
for (const context of contexts) {
  const { variant, reason, bucket } = evaluateSwitch(state, context, false);
  print(`${JSON.stringify(context)} → ${variant} (${reason}${bucket === undefined ? '' : ` ${bucket}`})`);
}

try {
  parseRule(definition, 'legacy=70 actor=30');
} catch (error) {
  if (error instanceof SwitchValueError) print(error.message);
}

// Prints:
// legacy 90 %, actors 10 % by sellerId; 2 segments
// {"sellerId":"s-17","region":"jeju","size":"large"} → actors (TARGETING_MATCH)
// {"sellerId":"s-1","region":"jeju","size":"large"} → legacy (TARGETING_MATCH)
// {"sellerId":"s-1","region":"jeju"} → legacy (SPLIT 7085)
// {"region":"seoul"} → legacy (ERROR)
// "actor" in "actor=30" is no variant; expected one of legacy, actors
