export interface Access {
  baseUrl: string;
  env: Record<string, string | undefined>;
  state: unknown;
}

export interface Endpoint {
  url: string;
  events: string[];
  number: number;
  secret: string;
  settings: object;
}

export interface Publication {
  method?: string;
  path: string;
  headers?: Record<string, string>;
  body: string;
}

export interface Adapter {
  name: string;
  setUp?(access: Access, types: string[]): Promise<unknown>;
  createEndpoint(access: Access, endpoint: Endpoint): Promise<unknown>;
  removeEndpoint?(access: Access, id: unknown): Promise<unknown>;
  publish(access: Access, event: { type: string; data: object }): Publication;
  tearDown?(access: Access): Promise<unknown>;
  signedWith?: string;
  deliveredBody?(body: Buffer): Buffer;
}

export function loadAdapter(path: string): Promise<{ adapter: Adapter; url: string }>;
