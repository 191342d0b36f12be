/**
 * API keys as text: `tdk_` and 32 random bytes. They are stored as SHA-256, without salt or
 * stretching: 256 random bits cannot be guessed or tabulated, and a slow hash would let every caller
 * make the server compute it.
 */
import { hash } from 'node:crypto';

export const API_KEY_BYTES = 32;
const API_KEY = /^tdk_[A-Za-z0-9_-]{43}$/;

/** How much of a key lists show, to distinguish keys: the scheme and 24 of its 256 bits. */
const PREFIX_LENGTH = 8;

/** @param random {@link API_KEY_BYTES} unpredictable bytes */
export const apiKeyText = (random: Buffer): string => `tdk_${random.toString('base64url')}`;

export const isApiKey = (text: string): boolean => API_KEY.test(text);

/** What is stored and looked up instead of the key. */
export const apiKeyHash = (text: string): string => hash('sha256', text, 'hex');

export const apiKeyPrefix = (text: string): string => text.slice(0, PREFIX_LENGTH);
