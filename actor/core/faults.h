// Named ways to break the core, so that tests can show that they would notice. The product is
// compiled with NoFaults, where every question is a constant false.
#pragma once

#include <cstdint>

namespace ofl::actor {

enum class Fault : uint8_t {
  kNone,
  kLostCredit,             // a read piece's credit is not returned
  kDoubleCredit,           // it is returned twice
  kEarlyFree,              // inputs are let go when a task starts
  kIgnoreStreamOrder,      // the next but one may overtake a stream's head
  kWrongPiece,             // a task looks into the neighbouring instance
  kIgnoreControl,          // control edges are not waited for
  kInPlaceFreedEarly,      // memory taken over is free when its own readers are done
  kInPlaceIgnoresReaders,  // an in-place task does not wait for the other readers
  kPushWithoutCredit,      // pushes go out whatever the receiver lent
  kPushNotHeld,            // a register may be reused while its push is under way
  kHeldFreedEarly,         // a piece read m times is let go after the first
  kAccumulateTooEarly,     // an accumulation is handed on after its first firing
  kIgnoreFreeInstance,     // a task writes whether or not an instance is free
  kMutateTooEarly,         // an update does not wait for the readers of the old value
};

struct NoFaults {
  static constexpr bool Has(Fault) { return false; }
};

}  // namespace ofl::actor
