/** SIGTERM and SIGINT end the process in order and with exit code 0; a second one ends it at once. */
export function stopOnSignals(stop: () => Promise<void>): void {
  let isStopping = false;
  const onSignal = (signal: NodeJS.Signals) => {
    if (isStopping) process.exit(1);
    isStopping = true;
    console.log(`${signal}: stopping`);
    // A connection that is closed rejects what was waiting on it; that must not cut the rest short.
    process.on('unhandledRejection', (reason) => console.error('while stopping:', reason));
    stop().then(
      () => process.exit(0),
      (error: unknown) => {
        console.error(error);
        process.exit(1);
      },
    );
  };
  process.on('SIGTERM', onSignal);
  process.on('SIGINT', onSignal);
}
