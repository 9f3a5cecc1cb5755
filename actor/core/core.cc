#include "actor/core/core_impl.h"

namespace ofl::actor {

template class BasicCore<NoFaults>;

}  // namespace ofl::actor
