/** Phone numbers, as E.164 and as people in Korea write mobile ones, and API keys, wherever they stand in a text. */
const secrets = /\+\d{8,15}(?!\d)|(?<![\w-])01[016-9][- ]?\d{3,4}[- ]?\d{4}(?![\w-])|\bchd_[A-Za-z0-9_-]+/g;

// Each of these begins at the beginning of a word only: else a long word would be gone through from each of its letters.

/** A URL with a password. */
const passwords = /(\b\w+:\/\/[^:@/\s"]*):[^@/\s"]+@/g;

/** What reads like a mail address, or several with a dot or plus between them; what stands before must not be a URL with a password. */
const addresses = /(?<![\w.+-])[\w.+-]+@[\w-]+(?:\.[\w-]+)+(?:[.+][\w.+-]*@[\w-]+(?:\.[\w-]+)+)*/g;

const mask = (secret: string) =>
  secret.startsWith('chd_') ? 'chd_…' : `${secret.slice(0, 3)}…${secret.slice(-2)}`;

/** Masks phone numbers, mail addresses, API keys and the passwords in URLs in a text, and leaves the rest as it is. */
export const masked = (text: string): string =>
  text.replaceAll(passwords, '$1:…@').replaceAll(addresses, '…@…').replaceAll(secrets, mask);

/** Masks all of a text that people wrote, and tells how long it was. */
export const maskedWhole = (text: string): string => `… (${Array.from(text).length} characters)`;
