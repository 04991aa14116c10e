// The network of a run, built in one way by everything that opens, measures or trains one: the
// model of the zoo, what its first layer sees, and how that is normalised. A recipe's dropout is
// for training and is the caller's to set.
#ifndef FM_RUN_NETWORK_H
#define FM_RUN_NETWORK_H

#include "net/net.h"
#include "run/run.h"

// `input_size`: the side of what the first layer sees; 0: the model's own. `mean`, `deviation`: of
// u8/255, by channel, as far as the model has channels; ignored by one that does not standardise.
// FM_USAGE: there is no such model, or it does not take this size.
enum fm_status fm_run_build_net(const char *model, int classes, int input_size,
    const float mean[FM_CHANNELS_MAX], const float deviation[FM_CHANNELS_MAX], struct fm_net *net);

// The layers of the model that there are weights of others for (FM_TRANSFER_MODEL) which these are
// for, its base: those before the head, the first `count` of the net. 0 of any other.
int fm_run_base_layers(const struct fm_net *net);

// What of the net is trained, and at which rate: FROZEN leaves the base alone, FINETUNE trains its
// last block or all of it at the transfer's base rate. SCRATCH changes nothing. FM_USAGE: the net
// has no base.
enum fm_status fm_run_set_trained(const struct fm_transfer *transfer, struct fm_net *net);

// fm_run_build_net() of a run that has its data.
enum fm_status fm_run_config_net(const struct fm_run_config *config, struct fm_net *net);

#endif
