/** SIGTERM and SIGINT stop the process gracefully, with exit code 0; a second one ends it at once. */
export function stopOnSignals(stop: () => Promise<void>): void {
  let isStopping = false;
  const onSignal = (signal: NodeJS.Signals) => {
    if (isStopping) process.exit(1);
    isStopping = true;
    console.log(`${signal}: stopping`);
    // Closing a connection rejects what waits for it; that must not end the process early.
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
