-- The schema that the migrations make. Generated: `npm run schema` writes it, and
-- `npm run migration:check` compares.

CREATE SEQUENCE event_type_revisions;

CREATE OR REPLACE FUNCTION public.bump_event_type_revision()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
  BEGIN
    PERFORM pg_notify('tidings_event_types', '');
    IF TG_OP = 'DELETE' THEN RETURN OLD; END IF;
    NEW."revision" := nextval('event_type_revisions');
    RETURN NEW;
  END $function$
;

CREATE OR REPLACE FUNCTION public.bump_webhook_revision()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
  DECLARE
    describing constant text[] := '{name,description,disabled_reason,disabled_at,updated_at,revision}';
  BEGIN
    UPDATE "webhook_versions" SET "version" = "version" + 1 WHERE "id" = 1
      RETURNING "version" INTO NEW."revision";
    PERFORM pg_notify('tidings_webhooks', NEW."revision"::text);
    IF TG_OP = 'INSERT' THEN
      IF NOT NEW."active" THEN RETURN NEW; END IF;
    ELSIF NOT (OLD."active" OR NEW."active")
       OR to_jsonb(OLD) - describing = to_jsonb(NEW) - describing THEN
      RETURN NEW;
    END IF;
    INSERT INTO "webhook_match_versions" ("scope", "version")
    SELECT "scope", NEW."revision"
      FROM (VALUES (coalesce('owner:' || NEW."owner_id", 'operator')), ('all')) AS concerned("scope")
    ON CONFLICT ("scope") DO UPDATE SET "version" = excluded."version";
    RETURN NEW;
  END $function$
;

CREATE TABLE api_keys (
  id text COLLATE "C" NOT NULL,
  owner_id text NOT NULL,
  name text NOT NULL,
  hash text NOT NULL,
  prefix text NOT NULL,
  roles text[] NOT NULL,
  topics text[],
  expires_at timestamp with time zone,
  created_at timestamp with time zone NOT NULL DEFAULT now(),
  parent_id text COLLATE "C",
  user_id text NOT NULL,
  CONSTRAINT api_keys_parent FOREIGN KEY (parent_id) REFERENCES api_keys(id) ON DELETE CASCADE,
  CONSTRAINT api_keys_pkey PRIMARY KEY (id)
);
CREATE UNIQUE INDEX api_keys_by_hash ON public.api_keys USING btree (hash);
CREATE INDEX api_keys_by_owner ON public.api_keys USING btree (owner_id, id);
CREATE INDEX api_keys_by_parent ON public.api_keys USING btree (parent_id);

CREATE TABLE audit_log (
  id text COLLATE "C" NOT NULL,
  owner_id text,
  actor_owner_id text,
  user_id text,
  api_key_id text COLLATE "C",
  roles text[] NOT NULL,
  action text NOT NULL,
  resource_type text NOT NULL,
  resource_id text COLLATE "C",
  changes text NOT NULL,
  address text,
  request_id text,
  CONSTRAINT audit_log_pkey PRIMARY KEY (id)
);
CREATE INDEX audit_log_by_action ON public.audit_log USING btree (action, id);
CREATE INDEX audit_log_by_owner ON public.audit_log USING btree (owner_id, id);
CREATE INDEX audit_log_by_resource ON public.audit_log USING btree (resource_id, id);
CREATE INDEX audit_log_by_resource_type ON public.audit_log USING btree (resource_type, id);
CREATE INDEX audit_log_by_user ON public.audit_log USING btree (user_id, id);

CREATE TABLE bulk_operation_slices (
  operation_id text COLLATE "C" NOT NULL,
  webhook_id text COLLATE "C" NOT NULL,
  number integer NOT NULL,
  event_ids text[] NOT NULL,
  CONSTRAINT bulk_operation_slices_pkey PRIMARY KEY (operation_id, webhook_id, number)
);

CREATE TABLE bulk_operation_targets (
  operation_id text COLLATE "C" NOT NULL,
  webhook_id text COLLATE "C" NOT NULL,
  open_ids text[] NOT NULL DEFAULT '{}'::text[],
  wait_ms integer NOT NULL DEFAULT 0,
  due_at timestamp with time zone NOT NULL DEFAULT now(),
  CONSTRAINT bulk_operation_targets_pkey PRIMARY KEY (operation_id, webhook_id)
);
CREATE INDEX bulk_operation_targets_due ON public.bulk_operation_targets USING btree (due_at);

CREATE TABLE bulk_operations (
  id text COLLATE "C" NOT NULL,
  kind text NOT NULL,
  owner_id text NOT NULL,
  status text NOT NULL,
  count integer NOT NULL,
  done integer NOT NULL DEFAULT 0,
  skipped integer NOT NULL DEFAULT 0,
  from_statuses text[] NOT NULL,
  may_create boolean NOT NULL,
  idempotency_key text,
  request_hash text NOT NULL,
  created_at timestamp with time zone NOT NULL DEFAULT now(),
  completed_at timestamp with time zone,
  requested_by jsonb,
  CONSTRAINT bulk_operations_pkey PRIMARY KEY (id)
);
CREATE UNIQUE INDEX bulk_operations_by_key ON public.bulk_operations USING btree (owner_id, idempotency_key);
CREATE INDEX bulk_operations_by_owner ON public.bulk_operations USING btree (owner_id, id);

CREATE TABLE deliveries (
  id text COLLATE "C" NOT NULL,
  event_id text COLLATE "C" NOT NULL,
  webhook_id text COLLATE "C" NOT NULL,
  event_type text NOT NULL,
  status text NOT NULL,
  priority smallint NOT NULL DEFAULT 1,
  attempts integer NOT NULL,
  budget_start integer NOT NULL DEFAULT 0,
  due_at timestamp with time zone,
  lease_token text,
  not_before timestamp with time zone,
  expires_at timestamp with time zone,
  last_status_code smallint,
  last_error text,
  last_attempt_at timestamp with time zone,
  last_duration_ms integer,
  last_attempt_error text,
  last_response_body text,
  lost_leases smallint NOT NULL DEFAULT 0,
  batch_id text,
  created_at timestamp with time zone NOT NULL DEFAULT now(),
  completed_at timestamp with time zone,
  last_attempt_resent boolean,
  last_attempt_message text,
  batch_start smallint,
  requested_by jsonb,
  CONSTRAINT deliveries_pkey PRIMARY KEY (id)
) PARTITION BY RANGE (id);
CREATE INDEX deliveries_by_webhook ON ONLY public.deliveries USING btree (webhook_id, id);
CREATE INDEX deliveries_dead ON ONLY public.deliveries USING btree (id) WHERE (status = 'dead_letter'::text);
CREATE INDEX deliveries_deferred ON ONLY public.deliveries USING btree (webhook_id, priority, event_id) WHERE ((due_at IS NULL) AND (status = ANY (ARRAY['pending'::text, 'retrying'::text])));
CREATE INDEX deliveries_due ON ONLY public.deliveries USING btree (due_at) WHERE (due_at IS NOT NULL);
CREATE INDEX deliveries_expiring ON ONLY public.deliveries USING btree (expires_at) WHERE ((expires_at IS NOT NULL) AND (status = ANY (ARRAY['pending'::text, 'retrying'::text])));
CREATE INDEX deliveries_leased ON ONLY public.deliveries USING btree (webhook_id) WHERE (status = 'delivering'::text);
CREATE INDEX deliveries_scheduled ON ONLY public.deliveries USING btree (webhook_id) WHERE ((due_at IS NOT NULL) AND (status = ANY (ARRAY['pending'::text, 'retrying'::text])));

CREATE TABLE deliveries_default PARTITION OF deliveries DEFAULT WITH (fillfactor=85);

CREATE TABLE delivery_attempts (
  delivery_id text COLLATE "C" NOT NULL,
  started_at timestamp with time zone NOT NULL,
  number integer NOT NULL,
  duration_ms integer NOT NULL,
  status_code smallint,
  error text,
  response_body text,
  resent boolean,
  error_message text,
  CONSTRAINT delivery_attempts_pkey PRIMARY KEY (delivery_id, started_at)
) PARTITION BY RANGE (delivery_id);

CREATE TABLE delivery_attempts_default PARTITION OF delivery_attempts DEFAULT;

CREATE TABLE event_outbox (
  event_id text COLLATE "C" NOT NULL,
  webhook_ids text[],
  due_at timestamp with time zone NOT NULL,
  lease_token text,
  lost_leases smallint NOT NULL DEFAULT 0,
  expires_at timestamp with time zone,
  CONSTRAINT event_outbox_pkey PRIMARY KEY (event_id)
) WITH (fillfactor=85);
CREATE INDEX event_outbox_due ON public.event_outbox USING btree (due_at);

CREATE TABLE event_types (
  name text COLLATE "C" NOT NULL,
  description text,
  schema text,
  priority text NOT NULL DEFAULT 'normal'::text,
  transports text[] NOT NULL,
  durable boolean NOT NULL DEFAULT true,
  coalesce_ms integer,
  created_at timestamp with time zone NOT NULL DEFAULT now(),
  updated_at timestamp with time zone NOT NULL DEFAULT now(),
  revision bigint NOT NULL DEFAULT 0,
  channel text COLLATE "C",
  CONSTRAINT event_types_pkey PRIMARY KEY (name)
);
CREATE TRIGGER event_types_revision BEFORE INSERT OR DELETE OR UPDATE ON public.event_types FOR EACH ROW EXECUTE FUNCTION bump_event_type_revision();

CREATE TABLE events (
  id text COLLATE "C" NOT NULL,
  owner_id text,
  type text NOT NULL,
  subject text,
  body text NOT NULL,
  priority smallint NOT NULL,
  expires_at timestamp with time zone,
  created_at timestamp with time zone NOT NULL DEFAULT now(),
  tx bigint,
  tx_snapshot text,
  published_by integer,
  CONSTRAINT events_pkey PRIMARY KEY (id)
) PARTITION BY RANGE (id);
CREATE INDEX events_by_owner ON ONLY public.events USING btree (owner_id, id);
CREATE INDEX events_by_tx ON ONLY public.events USING btree (tx, id);

CREATE TABLE events_default PARTITION OF events DEFAULT;

CREATE TABLE idempotency_keys (
  owner_id text NOT NULL,
  key text NOT NULL,
  request_hash text NOT NULL,
  event_ids text[] NOT NULL,
  created_at timestamp with time zone NOT NULL DEFAULT now(),
  CONSTRAINT idempotency_keys_pkey PRIMARY KEY (owner_id, key)
);
CREATE INDEX idempotency_keys_by_age ON public.idempotency_keys USING btree (created_at);

CREATE TABLE nodes (
  id text COLLATE "C" NOT NULL,
  roles text[] NOT NULL,
  until timestamp with time zone NOT NULL,
  is_lost boolean NOT NULL,
  CONSTRAINT nodes_pkey PRIMARY KEY (id)
) WITH (fillfactor=50);

CREATE TABLE realtime_connections (
  id text COLLATE "C" NOT NULL,
  node_id text COLLATE "C" NOT NULL,
  owner_id text NOT NULL,
  transport text NOT NULL,
  connected_at timestamp with time zone NOT NULL,
  is_announced boolean NOT NULL,
  ended_at timestamp with time zone,
  user_id text NOT NULL,
  client_id text,
  address text NOT NULL DEFAULT ''::text,
  client_number bigint,
  CONSTRAINT realtime_connections_pkey PRIMARY KEY (id)
);
CREATE INDEX realtime_connections_by_node ON public.realtime_connections USING btree (node_id);
CREATE INDEX realtime_connections_by_owner ON public.realtime_connections USING btree (owner_id, id);

CREATE TABLE realtime_totals (
  owner_id text COLLATE "C" NOT NULL,
  opened bigint NOT NULL,
  active bigint NOT NULL,
  messages bigint NOT NULL,
  CONSTRAINT realtime_totals_pkey PRIMARY KEY (owner_id)
) WITH (fillfactor=50);

CREATE TABLE webhook_circuits (
  webhook_id text COLLATE "C" NOT NULL,
  state text NOT NULL,
  since timestamp with time zone,
  epoch integer NOT NULL,
  failures integer NOT NULL,
  failing_since timestamp with time zone,
  last_failure_at timestamp with time zone,
  last_error text,
  probe_token text,
  probe_lease_ms integer,
  requested_probe text,
  counts_for_alert boolean NOT NULL,
  opening_notified boolean NOT NULL,
  version bigint NOT NULL,
  revision bigint NOT NULL,
  paused_until timestamp with time zone,
  pauses integer NOT NULL DEFAULT 0,
  CONSTRAINT webhook_circuits_pkey PRIMARY KEY (webhook_id)
);
CREATE INDEX webhook_circuits_by_revision ON public.webhook_circuits USING btree (revision);

CREATE TABLE webhook_leases (
  webhook_id text COLLATE "C" NOT NULL,
  holder text,
  until timestamp with time zone NOT NULL,
  state jsonb,
  state_at timestamp with time zone,
  CONSTRAINT webhook_leases_pkey PRIMARY KEY (webhook_id)
) WITH (fillfactor=50);
CREATE INDEX webhook_leases_by_holder ON public.webhook_leases USING btree (holder);

CREATE TABLE webhook_match_versions (
  scope text COLLATE "C" NOT NULL,
  version bigint NOT NULL,
  CONSTRAINT webhook_match_versions_pkey PRIMARY KEY (scope)
) WITH (fillfactor=50);

CREATE TABLE webhook_versions (
  id smallint NOT NULL,
  version bigint NOT NULL,
  CONSTRAINT webhook_versions_pkey PRIMARY KEY (id)
);

CREATE TABLE webhooks (
  id text COLLATE "C" NOT NULL,
  owner_id text,
  url text NOT NULL,
  events text[] NOT NULL,
  name text,
  description text,
  sealed_secrets text NOT NULL,
  sealed_headers text,
  active boolean NOT NULL,
  disabled_reason text,
  timeout_ms integer,
  retry_policy jsonb,
  rate_limit jsonb,
  max_concurrency integer,
  ordering text NOT NULL DEFAULT 'none'::text,
  batch jsonb,
  created_at timestamp with time zone NOT NULL DEFAULT now(),
  updated_at timestamp with time zone NOT NULL DEFAULT now(),
  deleted_at timestamp with time zone,
  revision bigint NOT NULL DEFAULT 0,
  sealed_tls text,
  disabled_at timestamp with time zone,
  created_by jsonb,
  CONSTRAINT webhooks_pkey PRIMARY KEY (id)
);
CREATE INDEX webhooks_by_owner ON public.webhooks USING btree (owner_id, id);
CREATE INDEX webhooks_by_revision ON public.webhooks USING btree (revision);
CREATE TRIGGER webhooks_revision BEFORE INSERT OR UPDATE ON public.webhooks FOR EACH ROW EXECUTE FUNCTION bump_webhook_revision();
