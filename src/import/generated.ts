import { addDays } from '../rules/dates.ts';
import type { ReasonCode, ShipDate } from '../rules/notice.ts';
import type { OrderRow } from '../store/orders.ts';
import { mobileNumber } from './made-up-phone.ts';
import { familyNames, foreignNames, givenNames, products } from './names.ts';

/** A notice that a seller has to post. */
export interface NoticeToPost {
  sellerId: string;
  reason: ReasonCode;
  detail?: string;
  newShipDate: ShipDate;
  orderIds: string[];
}

/** Orders made up, and a notice for some of them. */
export interface Generated {
  orders: OrderRow[];
  notice: NoticeToPost;
}

/** The seller who posts the notice; the others are `demo-02` to `demo-50`. */
const firstSeller = 'demo-01';
const sellers = 50;

/** Kinds of orders in the notice besides open ones promised for these days: how many of 1,000 there are of each. */
const kinds = {
  canceled: 4,
  shipped: 6,
  delivered: 3,
  claim: 2,
  /** Its customer already knows the new date. */
  knows: 2,
  /** Its customer already knows a later one. */
  later: 2,
  /** Promised so long ago that the new date is too far away. */
  old: 3,
  wrongNumber: 3,
  noNumber: 1,
  /** No such order. */
  missing: 2,
};
type Kind = keyof typeof kinds | 'open';

/**
 * Makes up `size` orders (default 100,000) of 50 sellers, and the notice of `demo-01` for 30 % of that number.
 *
 * The same `size` and day give the same orders, always; dates are relative to `today`, ids and customers are not.
 * In the notice some orders can't be delayed, for each of several reasons, and some of its customers can't be
 * reached; what becomes of each follows from the order alone.
 */
export function generateOrders({ size = 100_000, today }: { size?: number; today: ShipDate }): Generated {
  const random = mulberry32(20_260_701);
  const inNotice = Math.round(size * 0.3);
  const newShipDate = addDays(today, 7);
  const orderIds: string[] = [];
  const orders: OrderRow[] = [];

  shuffled(kindsOf(inNotice), random).forEach((kind, i) => {
    const orderId = kind === 'missing' ? `C-NONE-${i}` : `C-01-${numbered(i)}`;
    orderIds.push(orderId);
    const order = anOrder(firstSeller, orderId, random, today);
    if (kind !== 'missing') orders.push({ ...order, ...ofKind(kind, order, { today, newShipDate }) });
  });
  // The rest: some more of the first seller, who delays only what comes from one field, and the other sellers'.
  for (let i = orders.length; i < size; i++) {
    const seller = i % 20 === 0 ? 1 : 2 + Math.floor(random() * (sellers - 1));
    const order = anOrder(sellerId(seller), `C-${pad(seller)}-${numbered(inNotice + i)}`, random, today);
    const roll = random();
    const status =
      roll < 0.7
        ? 'open'
        : roll < 0.86
          ? 'shipped'
          : roll < 0.96
            ? 'delivered'
            : roll < 0.99
              ? 'canceled'
              : 'claim';
    orders.push({ ...order, status });
  }
  const detail = '장맛비가 길어져 초당옥수수 수확이 일주일 늦어졌습니다. 가장 달 때 따서 보내 드리겠습니다.';
  return { orders, notice: { sellerId: firstSeller, reason: 'WEATHER', detail, newShipDate, orderIds } };
}

function kindsOf(count: number): Kind[] {
  const list: Kind[] = [];
  for (const [kind, per1000] of Object.entries(kinds) as [Kind, number][])
    for (let i = 0; i < Math.max(1, Math.round((count * per1000) / 1_000)); i++) list.push(kind);
  while (list.length < count) list.push('open');
  return list.slice(0, count);
}

function ofKind(
  kind: Exclude<Kind, 'missing'>,
  { phone = '' }: OrderRow,
  { today, newShipDate }: { today: ShipDate; newShipDate: ShipDate },
): Partial<OrderRow> {
  switch (kind) {
    case 'open':
      return {};
    case 'knows':
      return { expectedShipDate: newShipDate };
    case 'later':
      return { expectedShipDate: addDays(newShipDate, 3) };
    case 'old':
      return { promisedShipDate: addDays(today, -45) };
    case 'wrongNumber':
      return { phone: `${phone.slice(0, -4)}0000` };
    case 'noNumber':
      return { phone: '' };
    default:
      return { status: kind };
  }
}

function anOrder(seller: string, orderId: string, random: () => number, today: ShipDate): OrderRow {
  const foreign = random() < 0.03;
  const pick = (list: readonly string[]) => list[Math.floor(random() * list.length)] ?? '';
  const number = () => Math.floor(random() * 2 ** 32);
  return {
    sellerId: seller,
    orderId,
    status: 'open',
    promisedShipDate: addDays(today, Math.floor(random() * 6)),
    customerName: foreign ? pick(foreignNames) : pick(familyNames) + pick(givenNames),
    phone: mobileNumber(number(), number()),
    locale: foreign ? 'en' : 'ko',
    product: seller === firstSeller ? pick(products.slice(0, 6)) : pick(products),
  };
}

const pad = (seller: number) => String(seller).padStart(2, '0');
const sellerId = (seller: number) => `demo-${pad(seller)}`;
const numbered = (i: number) => String(i).padStart(7, '0');

function shuffled<T>(list: T[], random: () => number): T[] {
  for (let i = list.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [list[i], list[j]] = [list[j] as T, list[i] as T];
  }
  return list;
}

/**
 * Makes numbers from 0 to below 1 that look random and are the same for every run with one seed.
 *
 * Tommy Ettinger's mulberry32 (public domain): 32 bits of state are plenty for data like ours, not for secrets.
 */
export function mulberry32(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}
