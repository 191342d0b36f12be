import { EventEmitter } from 'node:events';

interface NodeEventMap {
  /** This node has renewed its entry, and nodes whose lease has ended are marked as lost. */
  renewed: [];
  /** Others have taken this node for dead; it has registered again, under another id. */
  reregistered: [];
  /** The heartbeats of another node have begun to arrive: it is new, or was cut off. */
  reachable: [node: string];
  /** Another node does not send heartbeats any more, or has said that it stops. */
  unreachable: [node: string];
}

/** What the cluster reports to the parts of a node that keep state about other nodes. */
export class NodeEvents extends EventEmitter<NodeEventMap> {}
