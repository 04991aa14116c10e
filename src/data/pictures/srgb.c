// sRGB's transfer function, both ways: see srgb.h.
#include "data/pictures/srgb.h"

#include <math.h>

void fm_srgb_light(double light[256])
{
    for (int i = 0; i < 256; i++) {
        double value = i / 255.0;
        light[i] = value <= 0.04045 ? value / 12.92 : pow((value + 0.055) / 1.055, 2.4);
    }
}

double fm_srgb_value(double light)
{
    light = fmin(fmax(light, 0), 1);
    return 255 * (light <= 0.0031308 ? 12.92 * light : 1.055 * pow(light, 1 / 2.4) - 0.055);
}
